"""The programs of the node: what each is called with, and the configuration files they read."""

import json
from dataclasses import dataclass
from pathlib import Path

from imagebatch_testing.cluster.layout import NAME, SYSTEM_PATH, Node
from imagebatch_testing.cluster.pki import API_PORT

ETCD = "http://127.0.0.1:2379"
ENVIRONMENT = {"PATH": SYSTEM_PATH, "HOME": "/root", "LANG": "C"}


@dataclass(frozen=True, slots=True)
class Component:
    """A program that must live as long as the cluster."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The work folder of the node, and its node."""

    work: Path
    node: Node

    @property
    def pki(self) -> Path:
        return self.work / "pki"

    @property
    def containerd(self) -> Path:
        return self.work / "containerd.sock"

    @property
    def state(self) -> Path:
        """Which programs run, and with what images."""
        return self.work / "state.json"

    def program(self, name: str) -> Path:
        """A copy of a program: the cache may change, or be where the node does not look."""
        return self.work / "programs" / name

    def log(self, name: str) -> Path:
        return self.work / "log" / f"{name}.log"

    @property
    def audit(self) -> Path:
        """What service accounts asked the API server: a JSON object a line."""
        return self.log("audit")

    def kubeconfig(self, user: str) -> Path:
        return self.pki / f"{user}.kubeconfig"


def foundations(place: Place) -> list[Component]:
    """What needs no API server, and the API server."""
    return [
        Component("containerd", ("containerd", "--config", str(place.work / "containerd.toml"))),
        Component("etcd", _etcd(place)),
        Component("kube-apiserver", _kubernetes(place, "kube-apiserver", _apiserver(place))),
    ]


def followers(place: Place) -> list[Component]:
    """What needs the API server, and ends without it."""
    return [
        Component("kubelet", _kubernetes(place, "kubelet", _kubelet(place))),
        Component(
            "kube-controller-manager", _kubernetes(place, "kube-controller-manager", _controllers(place))
        ),
        Component("kube-scheduler", _kubernetes(place, "kube-scheduler", _scheduler(place))),
        Component("kube-proxy", _kubernetes(place, "kube-proxy", _proxy(place))),
        Component("policies", (str(place.program("policies")), str(place.kubeconfig("policies")))),
        Component("coredns", (str(place.program("coredns")), "-conf", str(place.work / "Corefile"))),
    ]


def write_configuration(place: Place, pause: str) -> None:
    """The files, with the reference of the image that holds a pod's namespaces."""
    files = {
        "containerd.toml": _containerd_toml(place, pause),
        "cni/10-bridge.conflist": json.dumps(_bridge(place.node)),
        "kubelet.json": json.dumps(_kubelet_configuration(place)),
        "Corefile": _corefile(place),
        "resolv.conf": f"nameserver {place.node.addresses.node}\n",
        "audit.json": json.dumps(_audit_policy()),
    }
    for name, text in files.items():
        path = place.work / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def _kubernetes(place: Place, component: str, flags: dict[str, object]) -> tuple[str, ...]:
    return (
        str(place.program("kubernetes")),
        component,
        *(f"--{name}={value}" for name, value in flags.items()),
    )


def _etcd(place: Place) -> tuple[str, ...]:
    flags = {
        "data-dir": place.work / "etcd",
        "listen-client-urls": ETCD,
        "advertise-client-urls": ETCD,
        "listen-peer-urls": "http://127.0.0.1:2380",
        "log-level": "error",
    }
    return ("etcd", "--unsafe-no-fsync", *(f"--{name}={value}" for name, value in flags.items()))


def _apiserver(place: Place) -> dict[str, object]:
    """RBAC is on, so that the rights of our service accounts are really tested."""
    return {
        "etcd-servers": ETCD,
        "bind-address": "0.0.0.0",
        "advertise-address": place.node.addresses.node,
        "secure-port": API_PORT,
        "service-cluster-ip-range": place.node.addresses.services,
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": place.pki / "sa.pub",
        "service-account-signing-key-file": place.pki / "sa.key",
        "token-auth-file": place.pki / "tokens.csv",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "tls-cert-file": place.pki / "api.crt",
        "tls-private-key-file": place.pki / "api.key",
        "client-ca-file": place.pki / "ca.crt",
        "audit-policy-file": place.work / "audit.json",
        "audit-log-path": place.audit,
        "audit-log-maxsize": 100,
        "audit-log-maxbackup": 1,
        "allow-privileged": "true",
        "kubelet-preferred-address-types": "InternalIP",
    }


def _audit_policy() -> dict[str, object]:
    """Who asked for what, once it is answered; nothing of what Kubernetes asks itself."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        ],
    }


def _controllers(place: Place) -> dict[str, object]:
    return {
        "kubeconfig": place.kubeconfig("controllers"),
        "service-account-private-key-file": place.pki / "sa.key",
        "root-ca-file": place.pki / "ca.crt",
        "use-service-account-credentials": "true",
        "cluster-cidr": place.node.addresses.pods,
        "leader-elect": "false",
        "terminated-pod-gc-threshold": 500,
        "bind-address": "127.0.0.1",
    }


def _scheduler(place: Place) -> dict[str, object]:
    return {
        "kubeconfig": place.kubeconfig("scheduler"),
        "leader-elect": "false",
        "bind-address": "127.0.0.1",
    }


def _proxy(place: Place) -> dict[str, object]:
    """The zeros keep it from the kernel's limits, which belong to the whole machine."""
    return {
        "kubeconfig": place.kubeconfig("proxy"),
        "proxy-mode": "iptables",
        "cluster-cidr": place.node.addresses.pods,
        "hostname-override": place.node.name,
        "conntrack-max-per-core": 0,
        "conntrack-tcp-timeout-established": 0,
        "conntrack-tcp-timeout-close-wait": 0,
    }


def _kubelet(place: Place) -> dict[str, object]:
    return {
        "kubeconfig": place.kubeconfig("kubelet"),
        "config": place.work / "kubelet.json",
        "hostname-override": place.node.name,
        "node-ip": place.node.addresses.node,
        "root-dir": place.work / "kubelet",
        "cert-dir": place.work / "kubelet/pki",
    }


def _kubelet_configuration(place: Place) -> dict[str, object]:
    """Fit for an old cgroup layout, and for a machine that has other things to do."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{NAME}",
        "clusterDNS": [place.node.addresses.node],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{place.containerd}",
        "enforceNodeAllocatable": [],
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "featureGates": {"KubeletInUserNamespace": True},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 200,
        "resolvConf": str(place.work / "resolv.conf"),
        "volumePluginDir": str(place.work / "kubelet/plugins"),
    }


def _containerd_toml(place: Place, pause: str) -> str:
    return f"""\
version = 2
root = "{place.work}/containerd"
state = "/run/containerd"
[grpc]
  address = "{place.containerd}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{place.work}/cni"
"""


def _bridge(node: Node) -> dict[str, object]:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": node.addresses.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": ipam,
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": NAME, "plugins": [bridge, portmap]}


def _corefile(place: Place) -> str:
    return f"""\
.:53 {{
    bind {place.node.addresses.node}
    errors
    cache 5
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {place.kubeconfig("coredns")} {NAME}
        pods insecure
    }}
}}
"""
