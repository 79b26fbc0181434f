#include "common/wire/origin.hpp"

#include <algorithm>
#include <utility>

namespace vouch::wire {
namespace {

using asio::ip::tcp;

constexpr std::chrono::seconds kAddressesKept{60};

}  // namespace

void Origin::look_up(Found found) {
  if (!addresses_.empty() && clock_.now() < looked_up_ + kAddressesKept) return found({});
  waiting_.push_back(std::move(found));
  if (waiting_.size() > 1) return;
  resolver_.async_resolve(target_.host, target_.port,
                          [this](error_code error, const tcp::resolver::results_type& results) {
                            if (!error && results.empty()) error = asio::error::host_not_found;
                            addresses_.clear();
                            for (const auto& entry : results)
                              addresses_.push_back(entry.endpoint());
                            looked_up_ = clock_.now();
                            // Whoever is told may ask again at once.
                            for (const Found& waiting : std::exchange(waiting_, {})) waiting(error);
                          });
}

void Origin::avoid(const tcp::endpoint& address) {
  if (addresses_.empty() || addresses_.front() != address) return;  // somebody was first
  std::rotate(addresses_.begin(), addresses_.begin() + 1, addresses_.end());
  if (addresses_.size() == 1) forget();
}

}  // namespace vouch::wire
