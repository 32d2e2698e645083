// Command policies enforces NetworkPolicies on the one node of the test cluster, by iptables.
//
// Usage: policies KUBECONFIG. It runs in the node's network namespace, and rewrites one chain of the mangle
// table whenever a pod, a namespace or a policy changes. That table is asked after a service's address was
// replaced by a pod's, and before kube-proxy's own rules accept anything.
package main

import (
	"context"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: policies KUBECONFIG")
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := enforce(ctx, kubernetes.NewForConfigOrDie(config)); err != nil {
		log.Fatal(err)
	}
}

// enforce keeps the rules as the cluster wants them, until the context ends.
func enforce(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	changed := make(chan struct{}, 1)
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Pods().Informer(),
		factory.Core().V1().Namespaces().Informer(),
		factory.Networking().V1().NetworkPolicies().Informer(),
	} {
		if _, err := informer.AddEventHandler(telling(changed)); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	applied := ""
	for {
		seen, err := look(factory)
		if err != nil {
			return err
		}
		if rules := render(seen); rules != applied {
			if err := apply(rules); err != nil {
				return err
			}
			applied = rules
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func telling(changed chan<- struct{}) cache.ResourceEventHandler {
	tell := func() {
		select {
		case changed <- struct{}{}:
		default: // it is told already
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { tell() },
		UpdateFunc: func(any, any) { tell() },
		DeleteFunc: func(any) { tell() },
	}
}

func look(factory informers.SharedInformerFactory) (world, error) {
	everything := labels.Everything()
	pods, err := factory.Core().V1().Pods().Lister().List(everything)
	if err != nil {
		return world{}, err
	}
	namespaces, err := factory.Core().V1().Namespaces().Lister().List(everything)
	if err != nil {
		return world{}, err
	}
	policies, err := factory.Networking().V1().NetworkPolicies().Lister().List(everything)
	return newWorld(pods, namespaces, policies), err
}

func apply(rules string) error {
	command := exec.Command("iptables-restore", "--wait", "--noflush")
	command.Stdin = strings.NewReader(rules)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return err
	}
	for _, chain := range []string{"FORWARD", "INPUT"} {
		hook := []string{"--wait", "--table", "mangle", "--check", chain, "--jump", chainName}
		if exec.Command("iptables", hook...).Run() == nil {
			continue
		}
		hook[3] = "--append"
		if err := exec.Command("iptables", hook...).Run(); err != nil {
			return err
		}
	}
	return nil
}
