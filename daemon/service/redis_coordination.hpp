// redis_coordination.hpp: locks in Redis, in step with calls.
//
// A lock is a key that says whose it is and runs out by itself: after the lease's life and its
// grace, so that whoever comes next finds the calls ended and settled.  It counts as held until
// life after the moment before the command was sent, less a hundredth for clocks that differ.  It
// is renewed at a third of its life, and released when nobody has the lease any more.  A lease that
// ran out is over: whoever wakes up after a long stop claims anew, under the next epoch.
//
// While Redis is away, answers with errors or with rubbish, leases are granted and prolonged by the
// authority of the ledger's lock file, at full rate; the locks are set again when it is back.  What
// somebody else has locked meanwhile is over.
//
// A lock that names this very ledger file on this very machine was left by an earlier run, which
// is dead since we hold its lock file: it is taken over at once.
//
// Threads: claim(), view(), holder_of() and wake() from any; the rest on the redis thread.
// Errors:  none go out; view() and the settings' on_turn tell.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "common/wire/redis_connection.hpp"
#include "daemon/service/coordination.hpp"

namespace vouch::service {

struct RedisSettings {
  std::string where;   // for people: the address
  std::string prefix;  // of every key: "vouch:<ledger's id>:"
  std::string place;   // of the lock file; empty: nobody is taken for an earlier run
  std::string name;    // for people: "main on host-a"
  Millis try_again{1'000};
  Millis ping{5'000};  // so often it is seen that Redis is there
};

class RedisCoordination final : public Coordination {
 public:
  // One reply for each command, or an error: nobody knows then what became of them.  With `anew`
  // over a new connection.
  using Exchange = std::function<Result<std::vector<wire::RedisReply>>(
      const std::vector<wire::RedisCommand>& commands, bool anew)>;
  struct Reports {
    std::function<void()> on_change;                              // leases were granted or refused
    std::function<void(bool is_up, const std::string&)> on_turn;  // lost, why; or there (again)
  };

  RedisCoordination(const Clock& clock, RedisSettings settings, Exchange exchange, Reports reports)
      : clock_{clock},
        settings_{std::move(settings)},
        exchange_{std::move(exchange)},
        reports_{std::move(reports)} {}

  [[nodiscard]] data::LeasePtr claim(const LeaseWanted& wanted) override;
  [[nodiscard]] std::string holder_of(const std::string& name) const override;
  Instant run_once(Instant now) override;
  [[nodiscard]] CoordinationView view() const override;

  // Ends every lease and releases its lock.  When no call is out any more.
  void release_all();
  void wait_until(Instant until);
  void wake();

 private:
  struct Kept {
    std::shared_ptr<data::Lease> lease;
    Millis life{0};
    Millis grace{0};
    Instant ask_at{};       // when it is asked for or renewed
    bool in_redis = false;  // a lock may be there
  };
  enum class Link { unknown, up, lost };

  void take_asked(Instant now);
  void end_what_ran_out(Instant now);
  void collect(Instant now);
  void talk(Instant now);
  [[nodiscard]] bool take_reply(const wire::RedisReply& reply, Kept& kept, Instant asked_at);
  void granted(Kept& kept, Instant asked_at);
  void refused(Kept& kept, const std::string& holder);
  void lost(const std::string& why);
  void there();
  void grant_by_ledger(Instant now);
  [[nodiscard]] Instant next_due(Instant now) const;
  [[nodiscard]] std::string token_of(const data::Lease& lease) const;
  void count(std::uint64_t CoordinationView::*what);

  const Clock& clock_;
  RedisSettings settings_;
  Exchange exchange_;
  Reports reports_;

  // Of the redis thread.
  std::map<std::string, Kept> leases_;
  std::vector<wire::RedisCommand> commands_;
  std::vector<std::string> about_;  // whose lease each command is about; empty: a release, a ping
  Link link_ = Link::unknown;
  Instant try_at_{};  // no command before, while it is lost
  Instant ping_at_{};
  bool changed_ = false;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;                          // guarded by mutex_
  std::vector<Kept> asked_;                     // guarded by mutex_
  std::map<std::string, std::string> holders_;  // guarded by mutex_: of what is refused
  CoordinationView view_;                       // guarded by mutex_
  bool is_lost_ = false;                        // guarded by mutex_: link_, for claim()
};

}  // namespace vouch::service
