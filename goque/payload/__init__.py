"""Functions, arguments, results and exceptions as bytes, and back.

Its modules: ``keys`` (secrets and what is derived from them), ``envelope`` (signing), ``codec`` (pickling), ``bundle``
(pickling code by value), ``functions`` (a callable and what it carries), ``sources`` and ``origins`` (source text and
where code lies), ``digests`` (sameness), ``failures`` (exceptions), ``preflight`` (checks before anything is stored).
Import them by name: cloudpickle loads at first use only. Not for: storing the bytes, or JSON payloads of named types.
"""
