"""What must not be open to everybody: which questions tell, and what the answers mean. Pure.

``asks`` are the questions, ``signs`` what an answer must show to be a finding, ``judge`` holds one
against the other. Protocols that take more than one question have modules of their own (``tools``
for MCP, ``services`` for databases). Nothing here connects anywhere: ``gatehouse.preflight`` does.
"""
