// Kubernetes' own generic API server with CustomResourceDefinitions over etcd, as small as it can be:
// the handlers, watch cache, storage, apply and validation that kube-apiserver itself runs. TLS, client
// certificates say who calls, everything is allowed, no admission plugins (those of the library ask
// another API server for namespaces and webhooks; without them the peer has less to do than kapid).
// Not a part of keelson: bench/peer/README.md.
package main

import (
	"flag"
	"log"
	"net"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	generatedopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/openapi"
)

func check(err error) {
	if err != nil {
		log.Fatal("peer: ", err)
	}
}

func main() {
	etcd := flag.String("etcd", "", "URL of etcd")
	port := flag.Int("port", 0, "port on 127.0.0.1")
	cert := flag.String("tls-cert-file", "", "its certificate")
	key := flag.String("tls-private-key-file", "", "and key")
	ca := flag.String("client-ca-file", "", "who signs clients' certificates")
	flag.Parse()

	o := options.NewCustomResourceDefinitionsServerOptions(os.Stdout, os.Stderr)
	r := o.RecommendedOptions
	r.Etcd.StorageConfig.Transport.ServerList = []string{*etcd}
	r.SecureServing.BindAddress = net.ParseIP("127.0.0.1")
	r.SecureServing.BindPort = *port
	r.SecureServing.ServerCert.CertKey.CertFile = *cert
	r.SecureServing.ServerCert.CertKey.KeyFile = *key
	r.Authentication.ClientCert.ClientCA = *ca
	r.Authentication.RemoteKubeConfigFileOptional = true
	r.Authentication.SkipInClusterLookup = true
	r.Authorization = nil
	r.CoreAPI = nil
	r.Admission = nil
	r.Features.EnablePriorityAndFairness = false
	check(o.ServerRunOptions.ComponentGlobalsRegistry.Set())
	check(o.Complete())

	// As o.Config(), which needs another API server for the services of conversion webhooks.
	serverConfig := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	check(o.ServerRunOptions.ApplyTo(&serverConfig.Config))
	check(r.ApplyTo(serverConfig))
	check(o.APIEnablement.ApplyTo(&serverConfig.Config, apiserver.DefaultAPIResourceConfigSource(),
		apiserver.Scheme))
	definitions := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(generatedopenapi.GetOpenAPIDefinitions)
	namer := openapinamer.NewDefinitionNamer(apiserver.Scheme)
	serverConfig.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	serverConfig.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	config := &apiserver.Config{
		GenericConfig: serverConfig,
		ExtraConfig: apiserver.ExtraConfig{
			CRDRESTOptionsGetter: options.NewCRDRESTOptionsGetter(*r.Etcd, serverConfig.ResourceTransformers,
				serverConfig.StorageObjectCountTracker),
		},
	}
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegate())
	check(err)
	check(server.GenericAPIServer.PrepareRun().RunWithContext(genericapiserver.SetupSignalContext()))
}
