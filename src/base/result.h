// Errors as values: anything that a file, argv or the OS can make go wrong returns a Result or a
// Status.
#pragma once

#include <fmt/format.h>

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace nibble {

// What went wrong, as one line for the user: names what, where and what to do.
struct Error {
  enum class Kind { kFailed, kUsage };
  std::string message;
  Kind kind = Kind::kFailed;  // kUsage ends the program with exit code 2, kFailed with 1
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

template <class... A>
[[nodiscard]] std::unexpected<Error> fail(fmt::format_string<A...> form, A&&... args) {
  return std::unexpected(Error{fmt::format(form, std::forward<A>(args)...)});
}
template <class... A>
[[nodiscard]] std::unexpected<Error> usage(fmt::format_string<A...> form, A&&... args) {
  return std::unexpected(Error{fmt::format(form, std::forward<A>(args)...), Error::Kind::kUsage});
}

// Ends the program with file and line: only for our own mistakes, never for input.
[[noreturn]] void broken_promise(const char* file, int line, std::string_view what);

}  // namespace nibble

// `auto x = NB_TRY(f());` hands an error up, else yields the value (moved out).
#define NB_TRY(expr)                                                      \
  ({                                                                      \
    auto nb_result = (expr);                                              \
    if (!nb_result) return std::unexpected(std::move(nb_result).error()); \
    std::move(*nb_result);                                                \
  })
// The same for a Status.
#define NB_OK(expr)                                                       \
  do {                                                                    \
    auto nb_status = (expr);                                              \
    if (!nb_status) return std::unexpected(std::move(nb_status).error()); \
  } while (0)
#define NB_CHECK(cond) ((cond) ? (void)0 : ::nibble::broken_promise(__FILE__, __LINE__, #cond))
