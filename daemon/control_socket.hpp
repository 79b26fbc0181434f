// control_socket.hpp: where people use their authority, each as the account that the kernel names.
//
// A Unix socket on which vouchctl speaks HTTP with JSON.  Whoever connects is known by SO_PEERCRED,
// never by what he says; the account must be an operator's.  Here rows in doubt or held are
// proposed to be settled, and proposals are confirmed or refused; who may confirm what is the
// ledger's rule, so that nothing written into the control store can stand for a yes.  Codes are
// taken here for an export, too.
//
//   GET  /proposals                   the newest
//   GET  /proposals/ID
//   POST /proposals                   {"job","as","reason","evidence","statement","scope"}: a draft
//   POST /proposals/ID/rows           {"rows":[{"id","state","last_event","reference"}]}, by a
//                                     statement with "amount_minor"
//   POST /proposals/ID/open           {"rows":n,"digest":d}: it is complete
//   POST /proposals/ID/confirm        {"digest":d}
//   POST /proposals/ID/refuse         {"reason":text}
//   POST /exports/...                 codes that go out by an export: export_desk.hpp
//
// Answers are {"ok":true,"proposal":{...}} or {"ok":false,"code","message","hint"}.
//
// What was confirmed is carried out from here, a page after another, also after a restart.
//
// Threads: run() on its own; stop() from any; the rest before run().
// Errors:  listening fails with Errc::unavailable or Errc::invalid.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "common/clock.hpp"
#include "common/random.hpp"
#include "common/result.hpp"
#include "common/store/control_store.hpp"
#include "daemon/access/http_server.hpp"
#include "daemon/data/health.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "daemon/data/snapshot.hpp"
#include "daemon/export_desk.hpp"

namespace vouch::daemon {

class ControlSocket {
 public:
  struct Parts {
    data::LedgerWriter& writer;
    const data::SnapshotBoard& board;
    const data::Health& health;
    const Clock& clock;
    Random& random;
  };
  // `policy`: the one in force (common/policy.hpp).
  ControlSocket(store::ControlStore control, data::LedgerReader reader, std::string policy,
                Parts parts);

  // For the store's group alone; `group_of` is a path that belongs to it.
  [[nodiscard]] Result<void> listen(const std::string& path, const std::string& group_of);
  void run();
  // No further page: the daemon is about to stop.
  void drain() { draining_ = true; }
  void stop();

 private:
  [[nodiscard]] access::HttpResponse answer(const access::HttpRequest& request);
  [[nodiscard]] Result<std::string> carry_out(const access::HttpRequest& request);
  [[nodiscard]] Result<data::Authority> authority_of(const access::HttpRequest& request);
  [[nodiscard]] Result<std::string> draft(const data::Authority& by, std::string_view body);
  [[nodiscard]] Result<std::string> add_rows(const data::Proposal& proposal, std::string_view body);
  [[nodiscard]] Result<std::string> open(const data::Proposal& proposal, std::string_view body);
  [[nodiscard]] Result<std::string> confirm(const data::Proposal& proposal,
                                            const data::Authority& by, std::string_view body);
  [[nodiscard]] Result<std::string> refuse(const data::Proposal& proposal,
                                           const data::Authority& by, std::string_view body);
  [[nodiscard]] Result<data::Proposal> find(std::string_view id);
  // The proposal as it is now, as an answer.
  [[nodiscard]] Result<std::string> shown(ObjectId id);
  // Until it is durable.
  [[nodiscard]] Result<void> write(data::LedgerMessage message);
  [[nodiscard]] Result<void> audit(const data::Authority& by, std::string_view action, ObjectId id,
                                   std::string_view digest);
  // Pushes the next page of what has been confirmed; when it wants to be called again.
  Instant go_on(Instant now);

  store::ControlStore control_;
  data::LedgerReader reader_;
  std::string policy_;
  Parts parts_;
  ExportDesk exports_;
  access::HttpServer server_;
  std::uint64_t page_ticket_ = 0;  // of the page that is being written
  std::atomic<bool> draining_{false};
  std::atomic<bool> stop_{false};
};

}  // namespace vouch::daemon
