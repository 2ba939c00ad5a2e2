"""Whose word counts for a host's name under TLS: the public authorities, and those of this machine.

A service with a certificate of its own making is trusted by whoever names it, as for any program that uses OpenSSL:
`SSL_CERT_FILE=service.pem folkmoot join https://...`, or a folder of such in SSL_CERT_DIR.
"""

import ssl

import httpx


def context() -> ssl.SSLContext:
    """What a client verifies with: Mozilla's list, and the system's own certificates or those that the environment names."""
    made = httpx.create_ssl_context(trust_env=False)
    made.load_default_certs()
    return made
