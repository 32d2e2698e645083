package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const chainName = "NETWORK-POLICIES"

// mark is set on packets that some rule allows; the bits of kube-proxy are lower.
const mark = "0x100000/0x100000"

// world is what the rules derive from.
type world struct {
	pods       []*core.Pod
	namespaces map[string]labels.Set
	policies   []*networking.NetworkPolicy
}

// direction is one half of a policy.
type direction struct {
	kind        networking.PolicyType
	self, other string // the options of iptables that name the pod, and who it talks to
}

var directions = []direction{
	{networking.PolicyTypeEgress, "-s", "-d"},
	{networking.PolicyTypeIngress, "-d", "-s"},
}

// rule is what ingress and egress rules have in common.
type rule struct {
	peers []networking.NetworkPolicyPeer
	ports []networking.NetworkPolicyPort
}

func newWorld(
	pods []*core.Pod, namespaces []*core.Namespace, policies []*networking.NetworkPolicy,
) world {
	seen := world{namespaces: map[string]labels.Set{}, policies: policies}
	for _, pod := range pods {
		ended := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
		if pod.Status.PodIP != "" && !ended && !pod.Spec.HostNetwork {
			seen.pods = append(seen.pods, pod)
		}
	}
	slices.SortFunc(seen.pods, func(a, b *core.Pod) int { return strings.Compare(string(a.UID), string(b.UID)) })
	slices.SortFunc(seen.policies, func(a, b *networking.NetworkPolicy) int {
		return strings.Compare(string(a.UID), string(b.UID))
	})
	for _, namespace := range namespaces {
		seen.namespaces[namespace.Name] = namespace.Labels
	}
	return seen
}

// render writes the whole chain, in the language of iptables-restore. For each direction in which a pod is
// isolated, what its policies allow is marked, and the rest is dropped.
func render(seen world) string {
	lines := []string{
		"*mangle",
		":" + chainName + " - [0:0]",
		"-A " + chainName + " -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
	}
	for _, pod := range seen.pods {
		for _, way := range directions {
			rules, isolated := seen.rulesFor(pod, way.kind)
			if !isolated {
				continue
			}
			start := fmt.Sprintf("-A %s %s %s", chainName, way.self, pod.Status.PodIP)
			lines = append(lines, start+" -j MARK --set-xmark 0x0/0x100000")
			for _, allowed := range rules {
				for _, match := range seen.matches(pod, way, allowed) {
					lines = append(lines, start+match+" -j MARK --set-xmark "+mark)
				}
			}
			lines = append(lines, start+" -m mark ! --mark "+mark+" -j DROP")
		}
	}
	return strings.Join(append(lines, "COMMIT", ""), "\n")
}

// rulesFor gives a pod's rules of one direction, and whether any policy isolates it there.
func (seen world) rulesFor(pod *core.Pod, kind networking.PolicyType) (rules []rule, isolated bool) {
	for _, policy := range seen.policies {
		selected := policy.Namespace == pod.Namespace && selects(&policy.Spec.PodSelector, pod.Labels)
		if !selected || !slices.Contains(policy.Spec.PolicyTypes, kind) {
			continue
		}
		isolated = true
		if kind == networking.PolicyTypeEgress {
			for _, egress := range policy.Spec.Egress {
				rules = append(rules, rule{seen.within(policy, egress.To), egress.Ports})
			}
			continue
		}
		for _, ingress := range policy.Spec.Ingress {
			rules = append(rules, rule{seen.within(policy, ingress.From), ingress.Ports})
		}
	}
	return rules, isolated
}

// within says of peers without a namespace which one they mean: the policy's own.
func (seen world) within(
	policy *networking.NetworkPolicy, peers []networking.NetworkPolicyPeer,
) []networking.NetworkPolicyPeer {
	named := slices.Clone(peers)
	for i, peer := range named {
		if peer.IPBlock == nil && peer.NamespaceSelector == nil {
			own := map[string]string{core.LabelMetadataName: policy.Namespace}
			named[i].NamespaceSelector = &meta.LabelSelector{MatchLabels: own}
		}
	}
	return named
}

// matches gives the options of iptables for everything that a rule allows.
func (seen world) matches(pod *core.Pod, way direction, allowed rule) (found []string) {
	add := func(address string, server *core.Pod) {
		for _, port := range portMatches(allowed.ports, server) {
			found = append(found, address+port)
		}
	}
	servedBy := func(other *core.Pod) *core.Pod {
		if way.kind == networking.PolicyTypeIngress {
			return pod
		}
		return other
	}
	if len(allowed.peers) == 0 {
		add("", servedBy(nil))
	}
	for _, peer := range allowed.peers {
		if peer.IPBlock != nil {
			for _, block := range blocks(peer.IPBlock) {
				add(fmt.Sprintf(" %s %s", way.other, block), servedBy(nil))
			}
			continue
		}
		for _, other := range seen.pods {
			if seen.isPeer(peer, other) {
				add(fmt.Sprintf(" %s %s", way.other, other.Status.PodIP), servedBy(other))
			}
		}
	}
	return found
}

func (seen world) isPeer(peer networking.NetworkPolicyPeer, pod *core.Pod) bool {
	return selects(peer.NamespaceSelector, seen.namespaces[pod.Namespace]) &&
		(peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels))
}

func selects(selector *meta.LabelSelector, set labels.Set) bool {
	parsed, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(set)
}

// portMatches gives the options for a rule's ports; names are looked up in the pod that serves them.
func portMatches(ports []networking.NetworkPolicyPort, server *core.Pod) (found []string) {
	if len(ports) == 0 {
		return []string{""}
	}
	for _, port := range ports {
		protocol := core.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		match := " -p " + strings.ToLower(string(protocol))
		switch {
		case port.Port == nil:
			found = append(found, match)
		case port.Port.Type == intstr.String:
			for _, number := range named(port.Port.StrVal, protocol, server) {
				found = append(found, fmt.Sprintf("%s --dport %d", match, number))
			}
		case port.EndPort != nil:
			found = append(found, fmt.Sprintf("%s --dport %d:%d", match, port.Port.IntVal, *port.EndPort))
		default:
			found = append(found, fmt.Sprintf("%s --dport %d", match, port.Port.IntVal))
		}
	}
	return found
}

func named(name string, protocol core.Protocol, server *core.Pod) (numbers []int32) {
	if server == nil {
		return nil
	}
	for _, container := range server.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name && port.Protocol == protocol {
				numbers = append(numbers, port.ContainerPort)
			}
		}
	}
	return numbers
}

// blocks gives a block without its exceptions, as blocks. The cluster has no IPv6.
func blocks(block *networking.IPBlock) []netip.Prefix {
	whole, err := netip.ParsePrefix(block.CIDR)
	if err != nil || !whole.Addr().Is4() {
		return nil
	}
	left := []netip.Prefix{whole.Masked()}
	for _, text := range block.Except {
		except, err := netip.ParsePrefix(text)
		if err != nil {
			return nil
		}
		var next []netip.Prefix
		for _, prefix := range left {
			next = append(next, without(prefix, except.Masked())...)
		}
		left = next
	}
	return left
}

// without cuts one prefix out of another: the halves that do not touch it stay whole.
func without(prefix, except netip.Prefix) []netip.Prefix {
	if !prefix.Overlaps(except) {
		return []netip.Prefix{prefix}
	}
	if except.Bits() <= prefix.Bits() {
		return nil
	}
	low := netip.PrefixFrom(prefix.Addr(), prefix.Bits()+1)
	bytes := prefix.Addr().As4()
	bytes[prefix.Bits()/8] |= 1 << (7 - prefix.Bits()%8)
	high := netip.PrefixFrom(netip.AddrFrom4(bytes), prefix.Bits()+1)
	return append(without(low, except), without(high, except)...)
}
