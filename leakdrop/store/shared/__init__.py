"""What several machines keep together: rows in PostgreSQL, bytes in an object store. Why: docs/scaling.md.

    objects    the object store
    rows       sessions with the database, and what they ask
    parts      the names of objects, and the list of parts that a drop is made of
    writing    an envelope that comes in, in parts
    uploads    whose bytes come next, and when an upload is a drop
    room       how many uploads may be unfinished
    drops      drops are listed, read, removed, and made whole again after a crash
    replies    wait for their sources

The order of the promise: a part is put, then its row written, and then the source is told. An envelope that
is whole becomes a drop when its list is put; its row follows, and then the source is told. So any machine can
go on with any upload, and nothing is ever copied. The lists are the truth about drops: a list without a row
gets one, a row without a list goes. The rows are the truth about unfinished uploads, and one row, locked,
decides whose bytes come next when two machines hold the same upload.

What the form seals comes in as an upload that nobody is told of. `drops`, `uploads` and `replies` have the
methods of those in `leakdrop.store`; `leakdrop.store.places` chooses.
"""
