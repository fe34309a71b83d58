package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

//go:embed schema.json.gz
var compressed []byte

// recording is the schema of a provider in the notation of `terraform providers schema -json`.
type recording struct {
	Provider    schema            `json:"provider"`
	Resources   map[string]schema `json:"resource_schemas"`
	DataSources map[string]schema `json:"data_source_schemas"`
}

type schema struct {
	Version int64 `json:"version"`
	Block   block `json:"block"`
}

type block struct {
	Attributes map[string]attribute   `json:"attributes"`
	BlockTypes map[string]nestedBlock `json:"block_types"`
	Deprecated bool                   `json:"deprecated"`
}

type nestedBlock struct {
	NestingMode string `json:"nesting_mode"`
	Block       block  `json:"block"`
	MinItems    int64  `json:"min_items"`
	MaxItems    int64  `json:"max_items"`
}

type attribute struct {
	Type       json.RawMessage `json:"type"`
	Required   bool            `json:"required"`
	Optional   bool            `json:"optional"`
	Computed   bool            `json:"computed"`
	Sensitive  bool            `json:"sensitive"`
	WriteOnly  bool            `json:"write_only"`
	Deprecated bool            `json:"deprecated"`
}

var nestingModes = map[string]tfprotov6.SchemaNestedBlockNestingMode{
	"single": tfprotov6.SchemaNestedBlockNestingModeSingle,
	"list":   tfprotov6.SchemaNestedBlockNestingModeList,
	"set":    tfprotov6.SchemaNestedBlockNestingModeSet,
	"map":    tfprotov6.SchemaNestedBlockNestingModeMap,
	"group":  tfprotov6.SchemaNestedBlockNestingModeGroup,
}

// described are the resources whose required argument `description` the recording of 6.19.0 lacks.
var described = []string{"aws_elasticache_replication_group"}

// addDescriptions adds that argument, unless a newer recording has it.
func addDescriptions(resources map[string]schema) {
	for _, name := range described {
		attributes := resources[name].Block.Attributes
		if _, recorded := attributes["description"]; !recorded {
			attributes["description"] = attribute{Type: json.RawMessage(`"string"`), Required: true}
		}
	}
}

// load decodes the embedded recording. A field that the types above lack is an error: ignored, it would be missing from the
// schema that is served.
func load() (*tfprotov6.GetProviderSchemaResponse, error) {
	uncompressed, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(uncompressed)
	decoder.DisallowUnknownFields()
	var recorded recording
	if err := decoder.Decode(&recorded); err != nil {
		return nil, err
	}
	addDescriptions(recorded.Resources)
	provider, err := recorded.Provider.proto()
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	resources, err := protos(recorded.Resources)
	if err != nil {
		return nil, fmt.Errorf("resource %w", err)
	}
	dataSources, err := protos(recorded.DataSources)
	if err != nil {
		return nil, fmt.Errorf("data source %w", err)
	}
	return &tfprotov6.GetProviderSchemaResponse{
		// Lets Terraform cache the schema, which is large, for the length of a command.
		ServerCapabilities: &tfprotov6.ServerCapabilities{GetProviderSchemaOptional: true},
		Provider:           provider,
		ResourceSchemas:    resources,
		DataSourceSchemas:  dataSources,
	}, nil
}

func protos(schemas map[string]schema) (map[string]*tfprotov6.Schema, error) {
	converted := make(map[string]*tfprotov6.Schema, len(schemas))
	for name, schema := range schemas {
		proto, err := schema.proto()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		converted[name] = proto
	}
	return converted, nil
}

func (s schema) proto() (*tfprotov6.Schema, error) {
	block, err := s.Block.proto()
	return &tfprotov6.Schema{Version: s.Version, Block: block}, err
}

func (b block) proto() (*tfprotov6.SchemaBlock, error) {
	converted := &tfprotov6.SchemaBlock{Deprecated: b.Deprecated}
	for name, attribute := range b.Attributes {
		proto, err := attribute.proto(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		converted.Attributes = append(converted.Attributes, proto)
	}
	for name, nested := range b.BlockTypes {
		proto, err := nested.proto(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		converted.BlockTypes = append(converted.BlockTypes, proto)
	}
	return converted, nil
}

func (n nestedBlock) proto(name string) (*tfprotov6.SchemaNestedBlock, error) {
	mode, known := nestingModes[n.NestingMode]
	if !known {
		return nil, fmt.Errorf("unknown nesting mode %q", n.NestingMode)
	}
	block, err := n.Block.proto()
	return &tfprotov6.SchemaNestedBlock{TypeName: name, Block: block, Nesting: mode, MinItems: n.MinItems, MaxItems: n.MaxItems}, err
}

func (a attribute) proto(name string) (*tfprotov6.SchemaAttribute, error) {
	// Deprecated for use by providers; nothing else reads the notation of the recording.
	parsed, err := tftypes.ParseJSONType(a.Type) //nolint:staticcheck
	return &tfprotov6.SchemaAttribute{
		Name: name, Type: parsed, Required: a.Required, Optional: a.Optional, Computed: a.Computed,
		Sensitive: a.Sensitive, WriteOnly: a.WriteOnly, Deprecated: a.Deprecated,
	}, err
}
