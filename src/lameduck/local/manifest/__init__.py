"""From ordinary manifests to what the local cluster runs.

Law: what decides about requests is followed or refused, never silently left out; everything else is named in a list.
"""
