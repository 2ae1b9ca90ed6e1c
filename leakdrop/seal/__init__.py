"""Sealing on the source's own machine, without a network: the command `leakdrop-seal`.

files     writing files that replace nothing and are whole or not there
offline   sealing a message and files into a new envelope
cli       the command
"""
