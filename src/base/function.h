// Callables that need no heap, for what a decode step hands from one part to another.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace nibble {

template <class Signature>
class FunctionRef;

// Refers to a callable, which must live as long as this is called. As std::function_ref of C++26
// (P0792).
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, FunctionRef> &&
             std::is_invocable_r_v<R, F&, Args...>)
  FunctionRef(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

template <class Signature, size_t kBytes>
class InlineFunction;

// Owns a callable of at most kBytes, kept in place; a larger one does not compile. It can be moved,
// not copied; one without a callable is false, and must not be called.
template <class R, class... Args, size_t kBytes>
class InlineFunction<R(Args...), kBytes> {
 public:
  InlineFunction() = default;
  template <class F>
    requires(!std::same_as<F, InlineFunction> && std::is_invocable_r_v<R, F&, Args...>)
  InlineFunction(F f) : actions_(&kActions<F>) {
    static_assert(sizeof(F) <= kBytes && alignof(F) <= alignof(std::max_align_t));
    static_assert(std::is_nothrow_move_constructible_v<F>);
    new (memory_) F(std::move(f));
  }
  InlineFunction(InlineFunction&& other) noexcept { take(other); }
  InlineFunction& operator=(InlineFunction&& other) noexcept {
    if (this == &other) return *this;
    clear();
    take(other);
    return *this;
  }
  ~InlineFunction() { clear(); }

  explicit operator bool() const { return actions_ != nullptr; }
  R operator()(Args... args) const { return actions_->call(memory_, std::forward<Args>(args)...); }

 private:
  struct Actions {
    R (*call)(void* from, Args... args);
    void (*move)(void* from, void* to);
    void (*destroy)(void* from);
  };
  template <class F>
  static constexpr Actions kActions = {
      [](void* from, Args... args) -> R {
        return (*static_cast<F*>(from))(std::forward<Args>(args)...);
      },
      [](void* from, void* to) { new (to) F(std::move(*static_cast<F*>(from))); },
      [](void* from) { static_cast<F*>(from)->~F(); },
  };

  void take(InlineFunction& other) {
    if (other.actions_) other.actions_->move(other.memory_, memory_);
    actions_ = other.actions_;
    other.clear();
  }
  void clear() {
    if (actions_) actions_->destroy(memory_);
    actions_ = nullptr;
  }

  const Actions* actions_ = nullptr;
  alignas(std::max_align_t) mutable std::byte memory_[kBytes];
};

}  // namespace nibble
