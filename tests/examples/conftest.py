"""The guides' programs are run by ``test_seeds.py`` under the drop-in, not collected."""

collect_ignore = ["seeds"]
