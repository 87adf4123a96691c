"""New passwords, and the form in which Airflow and MLflow keep them.

It needs nothing but Python's standard library, as ``local.compose_env`` does.
"""

import hashlib
import secrets


def new_password() -> str:
    """A password that nobody guesses: 128 random bits."""
    return secrets.token_urlsafe(16)


def hashed(password: str) -> str:
    """The password as Werkzeug's ``check_password_hash`` takes it: salted scrypt, with Werkzeug's own parameters."""
    n, r, p, salt = 2**15, 8, 1, secrets.token_hex(8)
    digest = hashlib.scrypt(password.encode(), salt=salt.encode(), n=n, r=r, p=p, maxmem=132 * n * r * p)
    return f"scrypt:{n}:{r}:{p}${salt}${digest.hex()}"
