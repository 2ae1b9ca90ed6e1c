"""What the server keeps: envelopes as files, and a row for each. Design: docs/architecture.md, "The store".

    layout     the folders on disk, and how a file becomes durable
    owner      whose the folder is: root writes there as its owner
    database   the connection, and its migrations
    models     the tables
    writing    an envelope that comes in, in a file
    drops      drops come in, are listed, and are made whole again after a crash
    uploads    envelopes that come in piece by piece, and become drops
    claims     of two requests for one upload, the newer goes on
    unfinished what is remembered of uploads that are not whole
    replies    wait for their sources, without a link to a drop
    mailboxes  what replies are, in this place and in the other
    places     what the rooms above know of all that, and which of the two stands behind it
    shared     the same for several machines, in PostgreSQL and an object store
    settle     drops get new files, which tell no more than the week
    leaving    which drops leave, and when
    moving     drops of another machine come in

The envelope file is the truth; a row only adds the week in which it came.
"""
