"""The test cluster by hand: python -m imagebatch_testing.cluster up|down|status|build|load."""

import sys
import time

from imagebatch_testing.cluster import lock, machine, own
from imagebatch_testing.cluster.errors import ClusterError

USAGE = """\
usage: python -m imagebatch_testing.cluster COMMAND
  up      start the cluster, or bring the images of today into the one that runs
  down    end it, and clear away everything of it
  status  say whether it runs, and how to reach it
  build   build the programs and images only
"""


def main(words: list[str]) -> int:
    commands = {"up": up, "down": down, "status": status, "build": build}
    if len(words) != 1 or words[0] not in commands:
        sys.stderr.write(USAGE)
        return 2
    began = time.monotonic()
    try:
        commands[words[0]]()
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    say(f"{words[0]}: {time.monotonic() - began:.1f} s")
    return 0


def up() -> None:
    with lock.held():
        if own.is_running():
            own.load()
        else:
            own.up(with_us=False)
    status()


def down() -> None:
    with lock.held():
        own.down()


def build() -> None:
    with lock.held():
        built = own.build()
    for image in built.values():
        say(f"image: {image.reference}")


def status() -> None:
    if not own.is_running():
        say("no test cluster runs on this machine" + (", but one left traces" if has_traces() else ""))
        return
    own.check()
    say(f"kubectl: {' '.join(own.kubectl())}")
    say(f"kubeconfig: {own.PLACE.kubeconfig('admin')}")
    say(f"this machine, for pods: {own.PLACE.node.addresses.host}")
    for image in own.loaded().values():
        say(f"image: {image.reference}")


def has_traces() -> bool:
    return machine.has_traces(own.PLACE)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
