// SPDX-License-Identifier: Apache-2.0
//
// The command line: what may be said, and which function each command is.
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "app/cli.h"
#include "app/cli_key_life.h"
#include "app/cli_options.h"
#include "app/cli_usage.h"
#include "app/cli_vault.h"
#include "app/demo.h"

namespace kubiya::app {
namespace {

// What the chosen command will do, decided while parsing, called after it.
using Chosen = std::function<int()>;

using cli::add_config_file;
using cli::add_installation;
using cli::add_tenant;

// A list takes every word up to the next flag, and a flag in the place of its first word is one
// that the list was meant to stop at.
std::string no_flag(const std::string& word) {
  if (!word.starts_with('-')) return {};
  return word.substr(0, word.find('=')) + " stands where a value belongs";
}

// --config and every flag of `serve`, from the one table.
void add_configuration(CLI::App& command, cli::Installation& where) {
  add_config_file(command, where);
  for (const FlagSpelling& flag : serve_flags()) {
    const std::string key = flag.key;
    if (flag.toggle) {
      command.add_flag_callback(
          flag.flag, [&where, key] { where.flags.emplace_back(key, "true"); }, flag.description);
    } else if (flag.list) {
      command
          .add_option_function<std::vector<std::string>>(
              flag.flag,
              [&where, key](const std::vector<std::string>& values) {
                for (const std::string& value : values) where.flags.emplace_back(key, value);
              },
              flag.description)
          ->expected(1, -1)
          ->check(no_flag, "")
          ->default_str(flag.standard)
          ->type_name(flag.value);
    } else {
      command
          .add_option_function<std::string>(
              flag.flag,
              [&where, key](const std::string& value) { where.flags.emplace_back(key, value); },
              flag.description)
          ->default_str(flag.standard)
          ->type_name(flag.value);
    }
  }
}

void add_serve(CLI::App& app, Chosen& chosen) {
  static cli::Installation where;
  CLI::App* command = app.add_subcommand("serve", "Serve MCP over HTTP");
  add_configuration(*command, where);
  command->footer(
      "Examples:\n"
      "  kubiya-mcp serve --port 8000\n"
      "  kubiya-mcp serve --auth-server https://your-auth-server.com --auth-type oidc \\\n"
      "    --required-scopes read write execute --public-url https://mcp.example.com \\\n"
      "    --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem\n"
      "  KUBIYA_AUTH_SERVER=https://your-auth-server.com kubiya-mcp serve\n"
      "SIGHUP reads the TLS files again; SIGTERM drains and stops, a second one ends at once.");
  command->callback([&chosen] { chosen = [] { return cli::run_serve(where); }; });
}

void add_dev(CLI::App& app, Chosen& chosen) {
  static DemoOptions options;
  CLI::App* command =
      app.add_subcommand("dev", "Demonstration: demo issuer, two users, sample workflows");
  command->add_option("--port", options.port, "Port of the server (8000)")
      ->check(CLI::Range(1, 65534));
  command->add_option("--issuer-port", options.issuer_port, "Port of the issuer (port + 1)")
      ->check(CLI::Range(1, 65535));
  command->add_option("--data-dir", options.data_dir, "Where everything is kept")
      ->capture_default_str();
  command->add_option("--workflows", options.workflows, "Workflows to import")
      ->capture_default_str();
  command->add_option("--log-level", options.log_level, "debug, info, warn, error or off");
  command->add_flag("--check", options.check,
                    "One scripted pass in a fresh directory; exit 0 or 1");
  command->footer(
      "Examples:\n"
      "  kubiya-mcp dev                 # then paste the calls it prints\n"
      "  kubiya-mcp dev --check         # on free ports, for scripts");
  command->callback([&chosen] { chosen = [] { return demo(options); }; });
}

void add_config(CLI::App& app, Chosen& chosen) {
  static cli::Installation where;
  CLI::App* group = app.add_subcommand("config", "Check, print and document the configuration");
  group->require_subcommand(1);
  CLI::App* check = group->add_subcommand("check", "Would this configuration start?");
  add_configuration(*check, where);
  check->footer("Example:\n  kubiya-mcp config check --config /etc/kubiya-mcp/config.yaml");
  check->callback([&chosen] { chosen = [] { return cli::config_check(where); }; });
  CLI::App* print = group->add_subcommand("print", "Every effective value, secrets masked");
  add_configuration(*print, where);
  print->callback([&chosen] { chosen = [] { return cli::config_print(where); }; });
  CLI::App* docs = group->add_subcommand("docs", "The reference page (docs/configuration.md)");
  docs->callback([&chosen] { chosen = [] { return cli::config_docs(); }; });
}

void add_key_life(CLI::App& group, Chosen& chosen) {
  static cli::KeyCommand key;
  const auto add = [&](const char* name, const char* what, int (*run)(const cli::KeyCommand&)) {
    CLI::App* command = group.add_subcommand(name, what);
    add_installation(*command, key.where);
    command->add_option("id", key.id, "Id of the key, as `key list` shows it")->required();
    command->callback([&chosen, run] { chosen = [run] { return run(key); }; });
    return command;
  };
  add("describe", "Everything known of a key but the key", cli::key_describe)
      ->add_flag("--json", key.json, "As a JSON object");
  add("rotate", "Make its successor, printed once on stdout; both work", cli::key_rotate)
      ->add_option("--expires", key.expires, "Lifetime such as 90d, or never; as before");
  add("promote", "The successor takes its place; the old key ends after the overlap",
      cli::key_promote)
      ->add_option("--overlap", key.overlap, "How long the old key goes on")
      ->capture_default_str();
  add("retire", "End a replaced key now", cli::key_retire)
      ->add_flag("--force", key.force, "Also when it was used within the last hour");
  add("label", "Set or take away labels", cli::key_label)
      ->add_option("labels", key.labels, "name=value sets one, name= takes it away")
      ->required();
  add("usage", "Calls made with it in the last 90 days, by day and client", cli::key_usage)
      ->add_flag("--json", key.json, "As a JSON array");
}

void add_key(CLI::App& app, Chosen& chosen) {
  static cli::KeyCreate create;
  static cli::KeyList list;
  static cli::KeyRevoke revoke;
  CLI::App* group = app.add_subcommand("key", "API keys of users");
  group->require_subcommand(1);
  CLI::App* command = group->add_subcommand("create", "Make a key; it is printed once, on stdout");
  add_installation(*command, create.where);
  command->add_option("--user", create.user, "Its owner (the `sub` of the owner's tokens)")
      ->required();
  command->add_option("--name", create.name, "What it is for; by default its owner");
  command->add_option("--scopes", create.scopes, "What it may do: read write execute admin")
      ->required()
      ->expected(1, -1)
      ->check(no_flag, "")
      ->delimiter(',');
  command->add_option("--expires", create.expires, "Lifetime such as 90d or 12h, or never")
      ->capture_default_str();
  command->add_option("--issuer", create.issuer,
                      "The owner's issuer (the `iss` of their tokens), of a server with several");
  add_tenant(*command, create.tenant);
  command->footer(
      "Example:\n"
      "  kubiya-mcp key create --user user123 --name 'CI of team A' --scopes read execute "
      "--expires 90d");
  command->callback([&chosen] { chosen = [] { return cli::key_create(create); }; });
  command = group->add_subcommand("list", "Keys, never their secrets");
  add_installation(*command, list.where);
  command->add_option("--user", list.user, "Only this owner's");
  add_tenant(*command, list.tenant);
  command->callback([&chosen] { chosen = [] { return cli::key_list(list); }; });
  command =
      group->add_subcommand("revoke", "Revoke a key; a running server drops it within a second");
  add_installation(*command, revoke.where);
  command->add_option("id", revoke.id, "Id of the key, as `key list` shows it")->required();
  command->callback([&chosen] { chosen = [] { return cli::key_revoke(revoke); }; });
  add_key_life(*group, chosen);
}

void add_explain(CLI::App& app, Chosen& chosen) {
  static cli::Explain explain;
  CLI::App* command =
      app.add_subcommand("explain", "Why is this token, or was this request, taken or refused?");
  add_configuration(*command, explain.where);
  command->add_option("token", explain.token,
                      "The token, or - to read it from stdin (others see what stands here)");
  command->add_option("--request-id", explain.request_id,
                      "Instead: what the journal says of a request (X-Request-Id)");
  command->add_flag("--json", explain.json, "One JSON object");
  command->add_flag("--reasons", explain.reasons, "Every reason and what to do about it");
  command->footer(
      "Takes the configuration as `serve` does and judges as it does; shows neither token nor "
      "key.\n"
      "Examples:\n"
      "  echo \"$TOKEN\" | kubiya-mcp explain - --config /etc/kubiya-mcp/config.yaml\n"
      "  kubiya-mcp explain --request-id 0HVXJ4W9Q2... --data-dir /var/lib/kubiya-mcp");
  command->callback([&chosen] { chosen = [] { return cli::explain(explain); }; });
}

void add_doctor(CLI::App& app, Chosen& chosen) {
  static cli::Doctor doctor;
  CLI::App* command =
      app.add_subcommand("doctor", "Will people get in? Probes the identity providers");
  add_configuration(*command, doctor.where);
  command->add_option("url", doctor.url,
                      "A provider's issuer URL; without it, those of the configuration");
  command->add_option("--preset", doctor.preset, "With url: as auth.preset");
  command->add_option("--client-id", doctor.client_id, "With url: as auth.client_id");
  command->add_flag("--json", doctor.json, "One JSON object");
  command->footer(
      "Looks at discovery, issuer, keys, PKCE, registration, scopes, audience, clock and CORS;\n"
      "says what to change, and prints the configuration to paste. Exit status 1 where something\n"
      "keeps everybody out.\n"
      "Examples:\n"
      "  kubiya-mcp doctor https://sso.example.com/realms/main\n"
      "  kubiya-mcp doctor --config /etc/kubiya-mcp/config.yaml");
  command->callback([&chosen] { chosen = [] { return cli::doctor(doctor); }; });
}

void add_cut_off(CLI::App& app, Chosen& chosen) {
  static cli::CutOff cut;
  CLI::App* command = app.add_subcommand(
      "cut-off", "End all that a person holds here: tokens, API keys, runs, streams");
  add_installation(*command, cut.where);
  command->add_option("subject", cut.subject,
                      "The person: `sub` of their tokens, or the owner of API keys");
  command->add_option("--issuer", cut.issuer, "Whose subject, of a server with several issuers");
  command->add_option("--reason", cut.reason, "For the audit record and --list");
  command->add_flag("--lift", cut.lift, "Let them in again, with tokens issued from now on");
  command->add_flag("--list", cut.list, "Who is cut off, or was");
  command->footer(
      "One durable write; a running server acts on it within a second. The provider is not told:\n"
      "end the person's account there as well.\n"
      "Examples:\n"
      "  kubiya-mcp cut-off user123 --reason 'laptop stolen'\n"
      "  kubiya-mcp cut-off user123 --lift");
  command->callback([&chosen] { chosen = [] { return cli::cut_off(cut); }; });
}

void add_journal(CLI::App& command, cli::AuditPlace& place) {
  add_installation(command, place.where);
  command.add_option("--journal", place.directory, "Directory of the journal (data_dir/audit)")
      ->type_name("DIR");
}

void add_public_key(CLI::App& command, cli::AuditPlace& place) {
  command
      .add_option("--public-key", place.public_key,
                  "audit.pub from a place the server cannot write (that beside the journal)")
      ->type_name("FILE");
}

void add_audit_list(CLI::App& group, Chosen& chosen) {
  static cli::AuditList list;
  CLI::App* command = group.add_subcommand("list", "The last records, oldest first");
  add_journal(*command, list.place);
  command->add_option("--since", list.since, "Only the last 15m, 2h, 7d …");
  command->add_option("--subject", list.subject, "Only this person");
  command->add_option("--run", list.run_id, "Only this run");
  command->add_option("--operation", list.operation, "Only this operation");
  command->add_option("--decision", list.decision, "allowed or refused");
  command->add_option("--request", list.request_id, "Only this request");
  command->add_option("--tenant", list.tenant, "Only this tenant");
  command->add_option("--limit", list.limit, "How many at most")->capture_default_str();
  command->add_flag("--json", list.json, "One JSON object a line, as in the journal");
  command->footer(
      "Example:\n  kubiya-mcp audit list --subject viewer --decision refused --since 1h");
  command->callback([&chosen] { chosen = [] { return cli::audit_list(list); }; });
}

void add_audit(CLI::App& app, Chosen& chosen) {
  static cli::AuditVerify verify;
  static cli::AuditProve prove;
  CLI::App* group = app.add_subcommand("audit", "Read, verify and prove the audit journal");
  group->require_subcommand(1);
  add_audit_list(*group, chosen);
  CLI::App* command =
      group->add_subcommand("verify", "Is the journal whole? Exit status 1 and the record if not");
  add_journal(*command, verify.place);
  add_public_key(*command, verify.place);
  command
      ->add_option("--anchor", verify.anchor, "A checkpoint kept elsewhere, to notice a rollback")
      ->type_name("FILE");
  command->footer("Example:\n  kubiya-mcp audit verify --public-key /media/safe/audit.pub");
  command->callback([&chosen] { chosen = [] { return cli::audit_verify(verify); }; });
  command = group->add_subcommand("prove", "A bundle that proves a run's records to a stranger");
  add_journal(*command, prove.place);
  add_public_key(*command, prove.place);
  CLI::Option* run = command->add_option("--run", prove.run_id, "Id of the run");
  command->add_option("--check", prove.check, "Check a bundle instead of making one")
      ->type_name("FILE")
      ->excludes(run);
  command->footer(
      "Examples:\n"
      "  kubiya-mcp audit prove --run ID > run.proof\n"
      "  kubiya-mcp audit prove --check run.proof --public-key audit.pub");
  command->callback([&chosen] { chosen = [] { return cli::audit_prove(prove); }; });
}

void add_workflow(CLI::App& app, Chosen& chosen) {
  static cli::WorkflowView view;
  static cli::WorkflowImport import;
  CLI::App* group = app.add_subcommand("workflow", "Stored workflow definitions");
  group->require_subcommand(1);
  CLI::App* command = group->add_subcommand("list", "Names and versions");
  add_installation(*command, view.where);
  add_tenant(*command, view.tenant);
  command->callback([&chosen] { chosen = [] { return cli::workflow_list(view); }; });
  command = group->add_subcommand("show", "The text of one");
  add_installation(*command, view.where);
  add_tenant(*command, view.tenant);
  command->add_option("name", view.name, "Its name")->required();
  command->callback([&chosen] { chosen = [] { return cli::workflow_show(view); }; });
  command = group->add_subcommand("import", "Store the definitions of a directory");
  add_installation(*command, import.where);
  add_tenant(*command, import.tenant);
  command->add_option("directory", import.directory, "Holds *.yaml, *.yml, *.json")->required();
  command->footer("Example:\n  kubiya-mcp workflow import examples/workflows");
  command->callback([&chosen] { chosen = [] { return cli::workflow_import(import); }; });
}

void add_run(CLI::App& app, Chosen& chosen) {
  static cli::RunView view;
  CLI::App* group = app.add_subcommand("run", "Runs, as the database knows them");
  group->require_subcommand(1);
  CLI::App* command = group->add_subcommand("list", "The newest runs");
  add_installation(*command, view.where);
  add_tenant(*command, view.tenant);
  command->add_option("--workflow", view.workflow, "Only runs of this workflow");
  command->add_option("--status", view.status, "Only runs of this status");
  command->add_option("--limit", view.limit, "How many at most")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->callback([&chosen] { chosen = [] { return cli::run_list(view); }; });
  command = group->add_subcommand("show", "One run with its steps and output");
  add_installation(*command, view.where);
  add_tenant(*command, view.tenant);
  command->add_option("id", view.id, "Id of the run")->required();
  command->callback([&chosen] { chosen = [] { return cli::run_show(view); }; });
}

int run_command_line(int argc, char** argv) {
  CLI::App app(
      "kubiya-mcp: an MCP server that runs workflows as the person who asked, and keeps evidence.");
  app.name("kubiya-mcp");
  app.set_version_flag("--version", KUBIYA_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit status: 0 done; 1 failed, or the answer is no; 2 the command line or the configuration "
      "is wrong.");
  Chosen chosen;
  add_serve(app, chosen);
  add_dev(app, chosen);
  add_config(app, chosen);
  add_key(app, chosen);
  cli::add_vault(app, chosen);
  add_audit(app, chosen);
  add_explain(app, chosen);
  add_doctor(app, chosen);
  add_cut_off(app, chosen);
  add_workflow(app, chosen);
  add_run(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "%s\n", cli::usage_error(app, error).c_str());
    return cli::kUsage;
  }
  return chosen();
}

}  // namespace
}  // namespace kubiya::app

// libcurl brings GnuTLS along for protocols that are never spoken here. It asks for this name, and
// then does not initialise itself at every start (GnuTLS manual, "Initialization").
// NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
extern "C" __attribute__((visibility("default"), used)) int _gnutls_global_init_skip() { return 1; }

int main(int argc, char** argv) {
  try {
    return kubiya::app::run_command_line(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kubiya-mcp: %s\n", error.what());
    return kubiya::app::cli::kFailed;
  }
}
