// SPDX-License-Identifier: Apache-2.0
//
// The official Rust client (rmcp) in both eras: what every client of these tests must see.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ProgressNotificationParam, ProtocolVersion};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::{json, Value};

type Failure = Box<dyn std::error::Error>;
type Outcome<T> = Result<T, Failure>;

const TOOLS: [&str; 17] = [
    "cancel_execution",
    "create_api_key",
    "create_workflow",
    "decide_approval",
    "execute_workflow",
    "get_execution",
    "get_execution_logs",
    "get_workflow",
    "list_api_keys",
    "list_approvals",
    "list_executions",
    "list_workflows",
    "revoke_api_key",
    "rotate_api_key",
    "update_workflow",
    "validate_workflow",
    "whoami",
];

/// Keeps what it is told of progress.
#[derive(Clone, Default)]
struct Watcher(Arc<Mutex<Vec<f64>>>);

impl ClientHandler for Watcher {
    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.0.lock().unwrap().push(params.progress);
    }
}

type Client = RunningService<RoleClient, Watcher>;

fn expect(holds: bool, what: &str) -> Outcome<()> {
    if holds {
        Ok(())
    } else {
        Err(format!("not so: {what}").into())
    }
}

async fn connect(token: &str, mode: &ClientLifecycleMode, watcher: Watcher) -> Outcome<Client> {
    let url = format!("{}/mcp", std::env::var("BASE_URL")?);
    let token = std::env::var(token)?;
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
    let transport = StreamableHttpClientTransport::from_config(config);
    Ok(watcher
        .serve_with_lifecycle(transport, mode.clone())
        .await?)
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> Outcome<Value> {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let params = CallToolRequestParams::new(tool).with_arguments(arguments);
    let result = client.call_tool(params).await?;
    expect(result.is_error != Some(true), "the call succeeds")?;
    result
        .structured_content
        .ok_or_else(|| "no structuredContent".into())
}

async fn lists_and_runs(label: &str, client: &Client, watcher: &Watcher) -> Outcome<()> {
    let mut names: Vec<String> = client
        .list_all_tools()
        .await?
        .iter()
        .map(|tool| tool.name.to_string())
        .collect();
    names.sort();
    expect(
        names == TOOLS,
        "the tools are the 11 that the deployer may use",
    )?;
    println!("ok   {label}: lists the 11 tools it may use");

    watcher.0.lock().unwrap().clear();
    let run = call(
        client,
        "execute_workflow",
        json!({"name": "hello", "params": {"NAME": label}}),
    )
    .await?;
    expect(
        run["status"] == "finished" && run["subject"] == "deployer",
        "hello ran as the deployer",
    )?;
    let progress = watcher.0.lock().unwrap().clone();
    expect(!progress.is_empty(), "there are notifications of progress")?;
    expect(
        progress.windows(2).all(|pair| pair[0] < pair[1]),
        "progress rises",
    )?;
    println!("ok   {label}: runs hello and is told its progress");
    Ok(())
}

async fn follows_a_long_run(label: &str, client: &Client) -> Outcome<()> {
    let started = call(
        client,
        "execute_workflow",
        json!({"name": "long-running", "params": {"SECONDS": "2"}, "wait": 0}),
    )
    .await?;
    let status = started["status"].as_str().unwrap_or("");
    expect(
        status == "queued" || status == "running",
        "the call answers before the run ends",
    )?;
    for _ in 0..600 {
        let run = call(
            client,
            "get_execution",
            json!({"execution_id": started["execution_id"]}),
        )
        .await?;
        match run["status"].as_str() {
            Some("queued" | "running") => tokio::time::sleep(Duration::from_millis(100)).await,
            status => {
                expect(status == Some("finished"), "the long run finishes")?;
                println!("ok   {label}: follows a long run to its end");
                return Ok(());
            }
        }
    }
    Err("the long run did not end".into())
}

async fn viewer_is_refused(label: &str, mode: &ClientLifecycleMode) -> Outcome<()> {
    let client = connect("VIEWER_TOKEN", mode, Watcher::default()).await?;
    let Err(refused) = call(&client, "execute_workflow", json!({"name": "hello"})).await else {
        return Err("a viewer ran a workflow".into());
    };
    let said = format!("{refused:?}");
    expect(
        said.contains("InsufficientScope") && said.contains("execute"),
        &format!("the error names the missing scope: {said}"),
    )?;
    // And goes on with what it may do.
    let who = call(&client, "whoami", json!({})).await?;
    expect(who["subject"] == "viewer", "the viewer is still served")?;
    client.cancel().await?;
    println!("ok   {label}: a viewer is told which scope is missing, and goes on");
    Ok(())
}

async fn check(label: &str, mode: ClientLifecycleMode, revision: ProtocolVersion) -> Outcome<()> {
    let watcher = Watcher::default();
    let client = connect("DEPLOYER_TOKEN", &mode, watcher.clone()).await?;
    let negotiated = client
        .peer_info()
        .ok_or("nothing was negotiated")?
        .protocol_version
        .clone();
    expect(
        negotiated == revision,
        &format!("{negotiated} was negotiated"),
    )?;
    lists_and_runs(label, &client, &watcher).await?;
    follows_a_long_run(label, &client).await?;
    client.cancel().await?;
    viewer_is_refused(label, &mode).await?;
    println!("result: {label} | {revision}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let discover = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    };
    let modes = [
        (
            "`ClientLifecycleMode::Initialize`",
            ClientLifecycleMode::Initialize,
            ProtocolVersion::V_2025_11_25,
        ),
        (
            "`ClientLifecycleMode::Auto`",
            discover,
            ProtocolVersion::V_2026_07_28,
        ),
    ];
    let mut failed = false;
    for (label, mode, revision) in modes {
        if let Err(why) = check(label, mode, revision).await {
            failed = true;
            println!("FAIL {label}: {why} ({why:?})");
        }
    }
    std::process::ExitCode::from(u8::from(failed))
}
