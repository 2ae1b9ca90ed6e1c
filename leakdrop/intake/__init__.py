"""What the server shows and takes in: the only room that knows Flask.

    privacy    what of a request leakdrop sees at all, and the headers of every response
    limits     how many submissions come in at once
    refusals   everything that a visitor can be told instead of "it arrived"
    pages      the pages, rendered at start: the same bytes for every visitor
    forms      the parts of a form, as they arrive
    noscript   a form's parts, sealed while they arrive
    app        which address leads where

`browser/` holds what runs in the visitor's browser.
"""
