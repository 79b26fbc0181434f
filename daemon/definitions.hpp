// definitions.hpp: the control store, read whole, and the snapshot that follows from it.
//
// Definitions change rarely and are few; they are read again whenever the store has changed.
// Together with the jobs that the ledger holds open they make the snapshot that the other threads
// work by.
//
// Threads: the control thread's.
// Errors:  those of the store; a job whose definitions are missing is left out and reported.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/store/control_store.hpp"
#include "daemon/data/job_book.hpp"
#include "daemon/data/snapshot.hpp"

namespace vouch::daemon {

// One entry of the stop file (vouchctl stop).
struct Stop {
  std::string scope;  // all, downstream, client, campaign
  std::string name;
  std::string reason;
  bool operator==(const Stop&) const = default;
};

class Definitions {
 public:
  // Reads everything again.
  [[nodiscard]] Result<void> load(store::ControlStore& control);
  // Reads again the tokens and secrets whose files have changed; true when there were any.
  [[nodiscard]] bool reread_secrets();
  // Reads the stop file; without one nothing is stopped.  An unreadable one stops everything.
  void load_stops(const store::StorePaths& paths);
  [[nodiscard]] const std::vector<Stop>& stops() const { return stops_; }

  [[nodiscard]] std::shared_ptr<const data::Snapshot> snapshot(
      const std::vector<data::JobRecord>& open_jobs, std::int64_t serial) const;

  [[nodiscard]] const store::JobRow* job(ObjectId id) const;
  [[nodiscard]] const store::CampaignRow* campaign(ObjectId id) const;
  [[nodiscard]] const store::CampaignRow* campaign(std::string_view name) const;
  [[nodiscard]] const data::DownstreamNow* downstream(std::string_view name) const;
  [[nodiscard]] std::map<ObjectId, std::string> downstream_names() const;
  [[nodiscard]] const store::ListRow* list(ObjectId id) const;
  [[nodiscard]] const std::map<std::string, std::shared_ptr<const store::PoolRow>>& pools() const {
    return pools_;
  }
  // What a single issuance of this campaign would run under; number 0.
  [[nodiscard]] data::JobNow single_job(const store::CampaignRow& campaign) const;

 private:
  [[nodiscard]] Result<void> load_downstreams(store::ControlStore& control);
  [[nodiscard]] Result<void> load_campaigns(store::ControlStore& control);
  void fill_campaign(data::JobNow& now, ObjectId id, int version) const;
  void fill_job(data::JobNow& now, const store::JobRow& row) const;
  [[nodiscard]] std::string blocked(const data::JobNow& job, const store::JobRow* row) const;

  // By which a changed file is known.
  struct FileStamp {
    std::uint64_t inode = 0;
    std::int64_t bytes = -1;  // -1: there is none
    std::int64_t changed_ns = 0;
    bool operator==(const FileStamp&) const = default;
  };
  struct SecretFile {
    ObjectId downstream = 0;
    std::string data::DownstreamNow::*target = nullptr;
    std::string path;
    FileStamp stamp;
  };
  [[nodiscard]] static FileStamp stamp_of(const std::string& path);

  std::map<ObjectId, data::DownstreamNow> downstreams_;
  std::vector<SecretFile> secret_files_;  // of downstreams that have any
  std::map<ObjectId, store::CampaignRow> campaigns_;
  std::map<std::pair<ObjectId, int>, std::shared_ptr<const plan::Campaign>> versions_;
  std::map<ObjectId, store::ClientRow> clients_;
  std::map<ObjectId, store::JobRow> jobs_;
  std::map<ObjectId, store::ListRow> lists_;
  std::map<std::string, std::shared_ptr<const store::PoolRow>> pools_;  // by name
  std::vector<Stop> stops_;
  std::string stop_trouble_;  // what is wrong with the stop file, as it was told
};

}  // namespace vouch::daemon
