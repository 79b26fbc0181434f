// vouch-sandbox: services to rehearse a campaign with.  See vouch-sandbox(1).
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <thread>

#include "common/text.hpp"
#include "examples/sandbox/journal_check.hpp"
#include "examples/sandbox/sandbox.hpp"

namespace vouch::sandbox {
namespace {

constexpr const char* kDescription =
    "Coupon and balance services on this machine, real in all but the vouchers: they execute,\n"
    "journal and answer, remember idempotency keys, and fail in every way you ask them to.\n"
    "Operators rehearse campaigns with it; the tests of vouchd stand on it.  See vouch-sandbox(1).";

constexpr const char* kFooter = R"(Services:
  POST /coupons  /balances  /others  /codes
                                         a call: Idempotency-Key, {"request_id","recipient_id",...}
  GET  /coupons/REQUEST_ID               what became of it
  GET  /coupons/statement?after=&limit=  paged;  /coupons/statement.csv  whole
Steering:
  GET|PUT|DELETE /faults   PUT /faults/coupons   POST /pause  /resume  /refuse?for=5s
  GET /stats  /healthz   POST /stats/reset  /quit

Faults ([SERVICE:]KIND[=PROBABILITY][,name=value]...; the first that is drawn happens):
)";

constexpr const char* kExamples = R"(
Examples:
  vouch-sandbox --port 8081 --journal-dir /tmp/rehearsal
  vouch-sandbox --port 8081 --latency median=20ms,p99=300ms --fault lost=0.1% \
                --fault error=0.5%,status=503 --refusals coupons:1%
  vouch-sandbox --port 8081 --capacity 500/s,status=429 --fault balances:unauthorized,after=1000
  curl -d '{"request_id":"r1","recipient_id":"u-17"}' -H 'Idempotency-Key: r1' \
       http://127.0.0.1:8081/coupons
  curl -X PUT -d '{"coupons":{"faults":[{"kind":"closed","count":3}]}}' http://127.0.0.1:8081/faults
  vouch-sandbox check-journal /tmp/rehearsal
)";

struct Options {
  SandboxConfig config;
  std::string port_file;
  std::string key_memory = "24h";
  std::vector<std::string> faults;
  std::vector<std::string> latencies;
  std::vector<std::string> capacities;
  std::vector<std::string> refusals;
  std::string faults_file;
  std::uint16_t control_port = 0;
  std::vector<std::string> journals;
};

int report(const Error& error) {
  std::cerr << "error: " << error.message << "\n";
  if (!error.hint.empty()) std::cerr << "hint: " << error.hint << "\n";
  return exit_code_of(error.code);
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  if (!file) return fail(Errc::not_found, path + ": cannot be opened");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Beside it first, then renamed: whoever waits for the file never reads half a number.
Result<void> write_port_file(const std::string& path, std::uint16_t port) {
  const std::string aside = path + ".new";
  {
    std::ofstream file{aside};
    file << port << "\n";
    if (!file.flush()) return fail(Errc::io, aside + ": cannot be written");
  }
  if (std::rename(aside.c_str(), path.c_str()) != 0) {
    return fail(Errc::io, path + ": cannot be written");
  }
  return {};
}

Result<std::string> behaviours_of(const Options& options) {
  std::string base = "{}";
  if (!options.faults_file.empty()) {
    VOUCH_TRY(base, read_text(options.faults_file));
    if (const auto judged = decode_behaviours(base); !judged) {
      return within(options.faults_file, judged.error());
    }
  }
  std::vector<BehaviourOption> pieces;
  for (const std::string& text : options.latencies) pieces.push_back({"latency", text});
  for (const std::string& text : options.capacities) pieces.push_back({"capacity", text});
  for (const std::string& text : options.refusals) pieces.push_back({"refusals", text});
  for (const std::string& text : options.faults) pieces.push_back({"fault", text});
  return document_from_options(pieces, base);
}

// Blocked in every thread from here on, so that wait_for_stop() alone takes them.
sigset_t block_stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Each lost answer keeps a connection: as many descriptors as we may have.  What we may not have
// makes callers wait in the listen queue, no more.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

void print_totals(const Sandbox& sandbox) {
  for (const auto& desk : sandbox.desks()) {
    const ServiceCounters& counters = desk->service.counters();
    std::cerr << desk->service.kind().name << ": "
              << format_count(static_cast<std::int64_t>(counters.executions)) << " executions, "
              << format_count(static_cast<std::int64_t>(counters.replays)) << " replays, "
              << format_count(static_cast<std::int64_t>(counters.refusals)) << " refusals, "
              << format_count(static_cast<std::int64_t>(counters.doubles)) << " doubles\n";
  }
}

Result<void> serve(Options& options) {
  const auto age_max = parse_duration(options.key_memory);
  if (!age_max) return within("--key-memory", age_max.error());
  options.config.key_memory.age_max = *age_max;
  VOUCH_TRY(options.config.behaviours, behaviours_of(options));
  raise_descriptor_limit();
  const sigset_t signals = block_stop_signals();
  const SystemClock clock;
  VOUCH_TRY(const std::unique_ptr<Sandbox> sandbox, Sandbox::open(options.config, clock));
  for (const auto& desk : sandbox->desks()) {
    if (desk->service.torn_bytes() == 0) continue;
    std::cerr << desk->service.kind().name << ": cut off an unfinished last line of the journal\n";
  }
  if (!options.port_file.empty()) {
    VOUCH_CHECK(write_port_file(options.port_file, sandbox->port()));
  }
  std::cout << "listening on http://" << options.config.address << ":" << sandbox->port() << "\n";
  if (const auto control = sandbox->control_port()) {
    std::cout << "control on http://" << options.config.address << ":" << *control << "\n";
  }
  std::cout.flush();

  // Whatever ends it comes as a signal, also POST /quit and a broken journal.
  sandbox->on_quit([] { ::kill(::getpid(), SIGTERM); });
  Result<void> ended;
  std::thread server{[&] {
    ended = sandbox->run();
    ::kill(::getpid(), SIGTERM);
  }};
  int signal = 0;
  sigwait(&signals, &signal);
  sandbox->stop();
  server.join();
  print_totals(*sandbox);
  return ended;
}

void print_summary(const JournalSummary& summary) {
  std::cout << summary.file << "\n  executions   " << summary.executions << "\n  request ids  "
            << summary.request_ids << "\n  recipients   " << summary.recipients
            << "\n  doubles      " << summary.double_request_ids << "\n";
  for (const auto& [currency, sum] : summary.sums_by_currency) {
    std::cout << "  sum          " << sum << " " << currency << " (minor units)\n";
  }
  for (const DoubleExecution& twice : summary.doubles) {
    std::cout << "  executed " << twice.executions << " times: " << twice.request_id << "\n";
  }
  if (summary.torn) std::cout << "  the last line is unfinished and not counted\n";
}

Result<void> check_journals(const std::vector<std::string>& paths) {
  std::uint64_t doubles = 0;
  for (const std::string& path : paths) {
    VOUCH_TRY(const std::vector<std::string> files, journals_at(path));
    for (const std::string& file : files) {
      VOUCH_TRY(const JournalSummary summary, check_journal(file));
      print_summary(summary);
      doubles += summary.double_request_ids;
    }
  }
  if (doubles == 0) return {};
  return fail(Errc::failure, std::to_string(doubles) + " request ids were executed more than once");
}

void add_options(CLI::App& app, Options& options) {
  SandboxConfig& config = options.config;
  app.add_option("--port", config.port, "Port of the services; 0 lets the system choose")
      ->default_val(0);
  app.add_option("--listen", config.address, "Numeric address to listen on")
      ->default_val("127.0.0.1");
  app.add_option("--control-port", options.control_port,
                 "A second port that faults never close; 0 lets the system choose");
  app.add_option("--port-file", options.port_file, "Write the port into this file when ready");
  app.add_option("--journal-dir", config.journal_folder, "Folder of the journals, made if absent")
      ->default_val("sandbox-journal");
  app.add_option("--key-memory", options.key_memory, "How long an Idempotency-Key is known")
      ->default_val("24h");
  app.add_option("--keys-max", config.key_memory.keys_max,
                 "How many keys are known; 0 forgets at once, as a service without keys")
      ->default_str("no bound");
  app.add_option("--seed", config.seed, "Seed of all that is drawn")->default_val(1);
  app.add_option("--faults", options.faults_file, "JSON file, as PUT /faults takes it");
  app.add_option("--fault", options.faults, "A fault; may be repeated")->allow_extra_args(false);
  app.add_option("--latency", options.latencies,
                 "[SERVICE:]20ms, 5ms..80ms or median=20ms,p99=200ms")
      ->allow_extra_args(false);
  app.add_option("--capacity", options.capacities,
                 "[SERVICE:]500/s[,burst=50][,status=503][,retry_after=1]")
      ->allow_extra_args(false);
  app.add_option("--refusals", options.refusals,
                 "[SERVICE:]1%[,code=X][,status=422] or recipient=u-17: always the same people")
      ->allow_extra_args(false);
}

std::string footer() {
  std::string text = kFooter;
  for (const FaultKindTraits& traits : fault_kinds()) {
    std::string name{traits.name};
    name.resize(16, ' ');
    text += "  " + name + std::string{traits.words} + "\n";
  }
  return text + kExamples;
}

int run(int argc, char** argv) {
  CLI::App app{kDescription, "vouch-sandbox"};
  Options options;
  add_options(app, options);
  app.set_version_flag("--version", std::string{"vouch-sandbox " VOUCH_VERSION});
  app.footer(footer());
  CLI::App* check = app.add_subcommand(
      "check-journal", "Count executions, doubles and sums of journals; 1 when one is double");
  check->add_option("path", options.journals, "Journal folders or files")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // help or version
    return report({Errc::usage, error.what(), "vouch-sandbox --help tells the options"});
  }
  if (app.count("--control-port") > 0) options.config.control_port = options.control_port;
  const Result<void> ended = check->parsed() ? check_journals(options.journals) : serve(options);
  return ended ? 0 : report(ended.error());
}

}  // namespace
}  // namespace vouch::sandbox

int main(int argc, char** argv) {
  try {
    return vouch::sandbox::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
