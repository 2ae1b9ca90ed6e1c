"""What the server shows and takes in: the only room that knows Flask.

    privacy    what of a request leakdrop sees at all, and the headers of every response
    hosts      whether a visitor came by our own address
    limits     how often a circuit may ask, and how much comes in at once
    refusals   everything that a visitor can be told instead of "it arrived"
    operator_text   the text of /safety, which the operator can replace
    pages      the pages, rendered at start: the same bytes for every visitor
    bodies     the body of a request, and what an envelope's first bytes say
    forms      the parts of a form, as they arrive
    words      the twelve words of a receipt
    noscript   a form's parts, sealed while they arrive
    replies    questions for replies, and their answers
    noscript_replies   replies that are opened here, if the operator allows it
    uploads    tus: envelopes that come in piece by piece
    views      which address leads where
    app        the application, and what becomes of errors

`browser/` holds what runs in the visitor's browser.
"""
