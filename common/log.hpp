// log.hpp: what the daemon says while it runs.
//
// JSON lines with stable keys (ts, level, msg, then fields) under a service manager, text on a
// terminal.  With log.cpp the only code that knows spdlog.  Fields never hold secrets; codes and
// recipient ids are masked by whoever logs them.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "common/result.hpp"

namespace vouch::log {

enum class Format : std::uint8_t { automatic, text, json };

// Once, at the start of main.  `level`: debug, info, warn, error; Errc::invalid otherwise.
[[nodiscard]] Result<void> open(Format format, std::string_view level);

struct Field {
  std::string_view key;
  std::variant<std::string, std::int64_t, double, bool> value;

  Field(std::string_view k, std::string_view v) : key{k}, value{std::string{v}} {}
  Field(std::string_view k, const std::string& v) : key{k}, value{v} {}
  Field(std::string_view k, const char* v) : key{k}, value{std::string{v}} {}
  Field(std::string_view k, double v) : key{k}, value{v} {}
  Field(std::string_view k, bool v) : key{k}, value{v} {}
  template <typename Integer>
  requires std::is_integral_v<Integer> Field(std::string_view k, Integer v)
      : key{k}, value{static_cast<std::int64_t>(v)} {}
};

void debug(std::string_view message, std::initializer_list<Field> fields = {});
void info(std::string_view message, std::initializer_list<Field> fields = {});
void warn(std::string_view message, std::initializer_list<Field> fields = {});
void error(std::string_view message, std::initializer_list<Field> fields = {});
// Everything that was said has been written.
void flush();

}  // namespace vouch::log
