//! Metrics of the process and of the tokio runtime, read at each scrape.
//!
//! They are written as text here, because the recorder has counters of whole numbers only, and both kinds of CPU time are
//! fractions of seconds.

use std::fmt::{Display, Write as _};

use tokio::runtime::{Handle, RuntimeMetrics};

/// Metrics of the process and, in an asynchronous context, of the runtime.
pub(super) struct ProcessMetrics {
    runtime: Option<RuntimeMetrics>,
}

impl ProcessMetrics {
    pub(super) fn new() -> Self {
        let runtime = Handle::try_current().ok();
        Self {
            runtime: runtime.map(|handle| handle.metrics()),
        }
    }

    /// Appends the metrics in Prometheus' text format.
    pub(super) fn render(&self, text: &mut String) {
        render_process(text);
        if let Some(runtime) = &self.runtime {
            render_runtime(text, runtime);
        }
    }
}

fn render_process(text: &mut String) {
    let process = metrics_process::collector::collect();
    let mut write = |name, kind, help, value: Option<f64>| {
        if let Some(value) = value {
            write_family(text, name, kind, help, [(String::new(), value)]);
        }
    };
    let float = |value: Option<u64>| value.map(|value| value as f64);
    write(
        "process_cpu_seconds_total",
        "counter",
        "User and system CPU time in seconds.",
        process.cpu_seconds_total,
    );
    write(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory in bytes.",
        float(process.resident_memory_bytes),
    );
    write(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory in bytes.",
        float(process.virtual_memory_bytes),
    );
    write(
        "process_virtual_memory_max_bytes",
        "gauge",
        "Limit of virtual memory in bytes; 0 if there is none.",
        float(process.virtual_memory_max_bytes),
    );
    write(
        "process_open_fds",
        "gauge",
        "Open file descriptors.",
        float(process.open_fds),
    );
    write(
        "process_max_fds",
        "gauge",
        "Limit of open file descriptors; 0 if there is none.",
        float(process.max_fds),
    );
    write(
        "process_threads",
        "gauge",
        "Threads of the process.",
        float(process.threads),
    );
    write(
        "process_start_time_seconds",
        "gauge",
        "Start of the process in seconds since the Unix epoch.",
        float(process.start_time_seconds),
    );
}

fn render_runtime(text: &mut String, runtime: &RuntimeMetrics) {
    let workers = runtime.num_workers();
    let per_worker = |value: &dyn Fn(usize) -> f64| {
        (0..workers)
            .map(|worker| (format!("{{worker=\"{worker}\"}}"), value(worker)))
            .collect::<Vec<_>>()
    };
    write_family(
        text,
        "tokio_workers",
        "gauge",
        "Worker threads of the asynchronous runtime.",
        [(String::new(), workers as f64)],
    );
    write_family(
        text,
        "tokio_worker_busy_seconds_total",
        "counter",
        "Time that a worker thread was busy, in seconds.",
        per_worker(&|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()),
    );
    write_family(
        text,
        "tokio_worker_parks_total",
        "counter",
        "How often a worker thread ran out of work and waited.",
        per_worker(&|worker| runtime.worker_park_count(worker) as f64),
    );
    write_family(
        text,
        "tokio_live_tasks",
        "gauge",
        "Tasks that have not ended.",
        [(String::new(), runtime.num_alive_tasks() as f64)],
    );
    write_family(
        text,
        "tokio_global_queue_tasks",
        "gauge",
        "Tasks in the global queue, which wait for a worker.",
        [(String::new(), runtime.global_queue_depth() as f64)],
    );
}

/// Appends a metric with its samples: pairs of the labels in braces and the value.
fn write_family(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl IntoIterator<Item = (impl Display, f64)>,
) {
    _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        _ = writeln!(text, "{name}{labels} {value}");
    }
    text.push('\n');
}
