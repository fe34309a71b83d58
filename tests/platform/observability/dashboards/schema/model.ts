// What a dashboard of ours may consist of, after Grafana's own types: of the panels, those that are used, each with its options.

import type {
  AnnotationQuery,
  Dashboard,
  DataSourceRef,
  FieldConfig,
  Panel,
  RowPanel,
} from '@grafana/schema';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as timeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as series from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON has the values of enumerations, not their names.
type Json<T> = T extends string
  ? `${T}`
  : T extends number
    ? `${T}` extends `${infer N extends number}`
      ? N
      : never
    : T extends boolean | null | undefined
      ? T
      : T extends object
        ? { [K in keyof T]: Json<T[K]> }
        : T;

// The package has no types of Prometheus' queries.
interface Query {
  refId: string;
  datasource: DataSourceRef;
  expr: string;
  legendFormat: string;
  range: boolean;
  instant: boolean;
  format: 'time_series' | 'table' | 'heatmap';
}

interface Link {
  title: string;
  url: string;
  targetBlank: boolean;
}

interface Of<Type extends string, Options, Custom>
  extends Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'description'> {
  type: Type;
  description: string;
  options: Options;
  targets: Query[];
  fieldConfig: {
    defaults: Omit<FieldConfig, 'custom' | 'links'> & { custom: Custom; links: Link[] };
    overrides: Array<{ matcher: { id: 'byName'; options: string }; properties: Array<{ id: string; value: unknown }> }>;
  };
}

interface Text extends Omit<Panel, 'options' | 'fieldConfig' | 'targets'> {
  type: 'text';
  options: text.Options;
}

type Ours =
  | RowPanel
  | Text
  | Of<'stat', stat.Options, Record<string, never>>
  | Of<'timeseries', series.Options, series.FieldConfig>
  | Of<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | Of<'state-timeline', timeline.Options, timeline.FieldConfig>
  | Of<'table', table.Options, table.FieldConfig>;

// What Prometheus' data source adds.
interface Annotation extends AnnotationQuery {
  expr: string;
  step: string;
  titleFormat: string;
  textFormat: string;
  tagKeys: string;
}

export type Checked = Json<
  Omit<Dashboard, 'panels' | 'annotations'> & { panels: Ours[]; annotations: { list: Annotation[] } }
>;
