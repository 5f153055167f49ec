// Keys and values of one sequence, in pages that sequences of a batch share until they differ.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/backend.h"

namespace internvl {

class KvCache {
 public:
  KvCache(const KvShape& shape, const Backend& backend) : shape_(shape), backend_(&backend) {}

  const KvShape& shape() const { return shape_; }

  /// Tokens stored.
  std::int64_t length() const { return length_; }

  /// Makes room for `tokens` more. Pages that a copy of this cache shares and that would be
  /// written to are copied first; full pages stay shared.
  void reserve(std::int64_t tokens);

  /// After the backend stored `tokens` rows.
  void advance(std::int64_t tokens) { length_ += tokens; }

  /// Forgets all but the first `tokens`.
  void truncate(std::int64_t tokens);

  /// Valid until the next reserve(), truncate(), copy or move.
  std::byte* const* pages() const { return addresses_.data(); }
  std::int64_t page_count() const { return static_cast<std::int64_t>(pages_.size()); }
  std::size_t page_bytes() const { return backend_->kv_page_bytes(shape_); }

 private:
  std::shared_ptr<Buffer> new_page() const;

  KvShape shape_;
  const Backend* backend_;
  std::int64_t length_ = 0;
  std::vector<std::shared_ptr<Buffer>> pages_;
  std::vector<std::byte*> addresses_;
};

}  // namespace internvl
