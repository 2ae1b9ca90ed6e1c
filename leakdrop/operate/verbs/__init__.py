"""The operator's verbs, one module each: its arguments, one call, what is printed.

    add(verbs)    adds the verb, and with it the function that runs it
    run(given)    does it; the exit code, or None for 0

The work itself is done elsewhere. What only one verb needs (a web server, sealing, a way to Tor) is imported
when that verb runs.
"""
