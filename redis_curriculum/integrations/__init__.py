"""Callbacks and wrappers for training libraries; a module for each, imported by its name.

Each needs its own library, which comes with the extra of the same name:
``redis-curriculum[sb3]``, ``redis-curriculum[rllib]``, ``redis-curriculum[torchrl]``,
``redis-curriculum[torch]``, ``redis-curriculum[trl]``, ``redis-curriculum[verl]``.
``prompts`` needs none.
"""
