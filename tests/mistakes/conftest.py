"""The tables are imported by ``test_mistakes.py``; collected for doctests they would be imported a second time."""

collect_ignore_glob = ["[!t]*.py"]
