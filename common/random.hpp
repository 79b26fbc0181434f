// random.hpp: chance, as a parameter.
//
// Ids and secrets come from the operating system; jitter may come from anything.  Tests hand in a
// seeded generator, so that a failing run can be replayed.
//
// Threads: SystemRandom may be used by all; SeededRandom by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>

namespace vouch {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<std::byte> bytes) = 0;

  [[nodiscard]] std::uint64_t next();
  // Uniform in [0, bound); 0 when bound is 0.
  [[nodiscard]] std::uint64_t below(std::uint64_t bound);
  // Uniform in [0, 1).
  [[nodiscard]] double unit();
  [[nodiscard]] bool chance(double probability) { return unit() < probability; }
};

class SystemRandom final : public Random {
 public:
  void fill(std::span<std::byte> bytes) override;
};

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_{seed} {}
  void fill(std::span<std::byte> bytes) override;

 private:
  std::mt19937_64 engine_;
};

}  // namespace vouch
