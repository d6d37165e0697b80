"""Deployment artefacts: a plan in, a mapping of path to text out.

Pure, so that what would be written can be shown, compared and tested without touching a disk or a cluster. One file per
target. The room is empty for now; one machine needs `pilothouse serve` and a unit file of the operator's own.
"""
