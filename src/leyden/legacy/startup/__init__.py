"""The folder that a drop-in run puts on ``PYTHONPATH``: it holds the ``sitecustomize`` that child processes run."""
