"""A worker of a FastChat cluster over a holder: what it says of itself, and how it answers.

Source: FastChat 0.2.36, serve/base_model_worker.py, serve/inference.py, serve/model_worker.py.
"""
