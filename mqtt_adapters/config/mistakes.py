"""What a user got wrong in a setting, in one line: the error, the nearest name, why a file is not usable.

Law: whoever reads the line knows what to change. No settings here, and no file is read; files of certificates are
judged by what OpenSSL said of them.
"""

from __future__ import annotations

import difflib
import ssl

__all__ = ["ConfigError", "nearest", "no_password", "why_unusable"]


class ConfigError(ValueError):
    """A setting is not usable. The text is one line that names it."""


def nearest(name: str, names: list[str]) -> str:
    """``; did you mean 'x'?`` when one of `names` is close to `name`, else nothing."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def no_password() -> str:
    """Given to `SSLContext.load_cert_chain`: an encrypted key is an OSError and not a question on the terminal."""
    raise OSError("the private key is encrypted")


def why_unusable(error: OSError) -> str:
    """Why a file could not be used, in words; what OpenSSL says of a wrong PEM file helps nobody."""
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the certificate and the private key do not belong together"
    return "there is no certificate, or no private key to it, in PEM form"
