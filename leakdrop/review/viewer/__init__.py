"""The verbs `view` and `play`: an inbox in the browser, and recordings played out of their envelopes.

    ranges   which bytes a player asks for
    kinds    what a file is by its first bytes, and what of that is shown
    notes    what the reviewer noted, sealed to their own key
    desk     the envelopes, and what is done with them; `extraction` runs while the reviewer reads on
    markup   HTML in which every text is a text
    pages    the inbox; `submission_page`: a submission and its files; `acts`: the forms on it
    requests who may ask
    site     which request gets which answer, and which gets none
    server   the one place that listens, on 127.0.0.1
    programs the browser and the player, started with argument lists
    verbs    `view` and `play`

No script is served, and no byte of a submission is written anywhere but where the reviewer extracts it
(docs/adr/0013).
"""
