// notifier.hpp: tells people, through a program of theirs.
//
// The program is run with one JSON object on its standard input and has ten seconds; at most one
// run a minute for each kind and job, so that a flapping job does not flood anyone.  It never
// delays issuing: runs are started and looked after by the control thread's rounds.
//
// Threads: the control thread's.
// Errors:  a program that cannot be run is logged.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "common/clock.hpp"

namespace vouch::daemon {

class Notifier {
 public:
  // An empty command: nobody is told.
  Notifier(std::string command, const Clock& clock) : command_{std::move(command)}, clock_{clock} {}
  ~Notifier();

  // `kind` and `subject` as in notices.hpp.
  void tell(const std::string& kind, const std::string& subject, const std::string& words);
  // Ends runs that are over or take too long.
  void look_after(Instant now);

 private:
  struct Run {
    pid_t pid = 0;
    Instant until;
  };
  void run(const std::string& json);

  std::string command_;
  const Clock& clock_;
  std::map<std::string, Instant> last_;  // by kind and subject
  std::vector<Run> runs_;
};

}  // namespace vouch::daemon
