"""The command line: what people and agents type, and how it prints.

Modules here import click and nothing of the product until a command runs: ``--help`` and
``list --json`` have 150 ms.
"""
