"""Campaigns: what is asked of a running site for minutes or hours, and what came of it.

Each is a module of its own, `python -m tests.campaigns.NAME`, behind a target of the Makefile. Each ends with
a table, which `--write` puts into docs/proof.md. pytest does not collect them.
"""
