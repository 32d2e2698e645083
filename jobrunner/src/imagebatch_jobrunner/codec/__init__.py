"""The trusted side of the codec processes: their pool, the messages, and the check of each answer.

It runs in the parent and never decodes. What decodes is `imagebatch_jobrunner.decoder`.
"""
