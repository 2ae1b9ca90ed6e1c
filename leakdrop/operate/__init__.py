"""The operator's command, `leakdrop`.

cli       the verbs
init      makes a folder for a new site
tor       what leakdrop asks of tor
onion     an onion service for a trial, with a tor of its own
server    gunicorn, set up to stream, to stay silent and to stand slow clients
status    what is there
export    drops to a bundle
importing replies from a bundle
upkeep    settles drops, and removes those that are due
digest    a text for a mail
check     a doctor for the site and its machine (doctor/)
manifest  the hashes of all that the site serves
verify    a live site, beside its manifest and this release
demo      a site to try things out
"""
