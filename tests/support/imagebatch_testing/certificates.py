"""An authority and certificates of its own making, for servers behind TLS in tests."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imagebatch_testing.cluster.command import run

_CONFIGURATION = """\
[req]
distinguished_name = nobody
[nobody]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = register
[register]
database = {folder}/register.txt
serial = {folder}/serial
unique_subject = no
new_certs_dir = {folder}
default_md = sha256
policy = any
[any]
commonName = supplied
"""
_SERVER = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {name}
"""
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """Writes into `folder`, which is empty. Needs the `openssl` program."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._configuration = folder / "openssl.cnf"
        self._configuration.write_text(_CONFIGURATION.format(folder=folder))
        (folder / "register.txt").touch()
        self._crt, self._key = folder / "authority.crt", folder / "authority.key"
        run(
            "openssl", "req", "-x509", "-config", self._configuration, "-extensions", "authority", *_NEW_KEY,
            "-days", "2", "-subj", "/CN=authority of tests", "-keyout", self._key, "-out", self._crt,
        )  # fmt: skip

    def client_context(self) -> ssl.SSLContext:
        """Trusts this authority and no other."""
        return ssl.create_default_context(cafile=str(self._crt))

    def server_context(self, name: str, *, expired: bool = False) -> ssl.SSLContext:
        """A server's, with a certificate for `name`, such as `DNS:shop.test` or `IP:127.0.0.1`."""
        number = len(list(self._folder.glob("*.csr")))
        key, request, crt = (self._folder / f"{number}.{kind}" for kind in ("key", "csr", "crt"))
        extensions = self._folder / f"{number}.ext"
        extensions.write_text(_SERVER.format(name=name))
        run(
            "openssl", "req", "-new", "-config", self._configuration, *_NEW_KEY,
            "-subj", "/CN=server", "-keyout", key, "-out", request,
        )  # fmt: skip
        ends = datetime.now(UTC) + timedelta(days=-1 if expired else 1)
        run(
            "openssl", "ca", "-batch", "-notext", "-rand_serial", "-config", self._configuration,
            "-extfile", extensions, "-cert", self._crt, "-keyfile", self._key, "-in", request, "-out", crt,
            "-startdate", _asn1(ends - timedelta(days=2)), "-enddate", _asn1(ends),
        )  # fmt: skip
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(crt, key)
        return context


def _asn1(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%SZ}"
