"""The operator's command, `leakdrop`.

cli       the verbs
init      makes a folder for a new site
server    gunicorn, set up to stream, to stay silent and to stand slow clients
status    what is there
export    drops to a bundle
manifest  the hashes of all that the site serves
verify    a live site, beside its manifest and this release
demo      a site to try things out
"""
