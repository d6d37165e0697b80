"""The VERBS: read what the decision needs, decide purely, hand over one Change.

Called by `compute` and `communication` only. A verb holds no transaction across an `await`; what it decided on may
have changed meanwhile, so the Change says what it expects and the verb reads again when an expectation falls.
"""
