"""The reviewer's verbs, one module each: its arguments, and one call.

    add(verbs)    adds the verb, and with it the function that runs it
    run(given)    does it; the exit code

The work itself, and what is printed of it, is elsewhere.
"""
