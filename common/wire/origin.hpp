// origin.hpp: an endpoint that calls go to, and where its name leads.
//
// Threads: the loop's; the look-ups themselves run on a thread of the library's, one at a time.
// Errors:  those of the look-up, handed to who asked.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <vector>

#include "common/clock.hpp"
#include "common/wire/request_text.hpp"

namespace vouch::wire {

namespace asio = boost::asio;
using boost::system::error_code;

class Origin {
 public:
  using Addresses = std::vector<asio::ip::tcp::endpoint>;
  using Found = std::function<void(const error_code& error)>;

  Origin(asio::io_context& io, const Clock& clock, Target target)
      : resolver_{io}, clock_{clock}, target_{std::move(target)} {}

  [[nodiscard]] const Target& target() const { return target_; }
  // As they should be tried.
  [[nodiscard]] const Addresses& addresses() const { return addresses_; }

  // Calls `found` when the addresses are known: at once, or after a look-up that all who wait for
  // it share.  A thousand calls that start together would otherwise make a thousand look-ups, the
  // last of which ends when the time for its connection is long over.
  void look_up(Found found);
  // No connection came about there in time: the others go first.
  void avoid(const asio::ip::tcp::endpoint& address);
  // The name may lead elsewhere by now.
  void forget() { addresses_.clear(); }

 private:
  asio::ip::tcp::resolver resolver_;
  const Clock& clock_;
  Target target_;
  Addresses addresses_;
  Instant looked_up_{};
  std::vector<Found> waiting_;  // for the look-up that is under way
};

}  // namespace vouch::wire
