"""The keys and certificates of one cluster, and a kubeconfig for each who talks to its API server."""

import secrets
from pathlib import Path

from imagebatch_testing.cluster.command import run
from imagebatch_testing.cluster.layout import NAME, Node

API_PORT = 6443
_CONFIGURATION = """\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""
"""Strict clients (Python 3.13) want every one of these."""

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "365")
_DNS_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
              "kubernetes.default.svc.cluster.local")  # fmt: skip


def users(node: Node) -> dict[str, tuple[str, str]]:
    """Who talks to the API server: file name -> user, group. They authenticate by a token."""
    return {
        "admin": ("admin", "system:masters"),
        "controllers": ("system:kube-controller-manager", ""),
        "scheduler": ("system:kube-scheduler", ""),
        "proxy": ("system:kube-proxy", ""),
        "kubelet": (f"system:node:{node.name}", "system:nodes"),
        "coredns": ("coredns", "system:masters"),
        "policies": ("policies", "system:masters"),
    }


def write(folder: Path, node: Node, port: int = API_PORT) -> None:
    """ca.crt, api.crt, api.key, sa.key, sa.pub, tokens.csv and NAME.kubeconfig; `port` is the API server's."""
    folder.mkdir(mode=0o700)
    _write_certificates(folder, node)
    _write_service_account_key(folder)
    tokens = []
    for name, (user, group) in users(node).items():
        token = secrets.token_hex(24)
        tokens.append(f"{token},{user},{user},{group}\n")
        (folder / f"{name}.kubeconfig").write_text(_kubeconfig(folder, node, port, token))
    (folder / "tokens.csv").write_text("".join(tokens))


def _write_certificates(folder: Path, node: Node) -> None:
    addresses = ("127.0.0.1", node.addresses.node, node.addresses.kubernetes)
    names = ",".join([*(f"IP:{address}" for address in addresses), *(f"DNS:{name}" for name in _DNS_NAMES)])
    configuration = folder / "openssl.cnf"
    configuration.write_text(_CONFIGURATION.format(names=names))
    _certify(folder, "ca", "authority")
    _certify(folder, "api", "server", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key")


def _certify(folder: Path, name: str, section: str, *signed_by: str | Path) -> None:
    run(
        "openssl", "req", "-x509", "-config", folder / "openssl.cnf", "-extensions", section, *_NEW_KEY,
        "-subj", f"/CN={NAME}-{name}", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt",
        *signed_by,
    )  # fmt: skip


def _write_service_account_key(folder: Path) -> None:
    run(
        "openssl",
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
        folder / "sa.key",
    )
    run("openssl", "pkey", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub")


def _kubeconfig(folder: Path, node: Node, port: int, token: str) -> str:
    return f"""\
apiVersion: v1
kind: Config
current-context: {NAME}
clusters:
- name: {NAME}
  cluster:
    server: https://{node.addresses.node}:{port}
    certificate-authority: {folder}/ca.crt
users:
- name: {NAME}
  user: {{token: {token}}}
contexts:
- name: {NAME}
  context: {{cluster: {NAME}, user: {NAME}}}
"""
