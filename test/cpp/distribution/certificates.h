// A small public key infrastructure that OpenSSL makes in a folder of the test.
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include "ml_worker/distribution.h"

namespace ml_worker::distribution::test {

namespace fs = std::filesystem;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

inline void require(bool held, const char* what) {
  if (!held) throw std::runtime_error(what);
}

/// Gone with all that is in it at the end of the test.
class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "certificatesXXXXXX").string();
    require(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
    path_ = pattern;
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

inline Key new_key() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

/// Only its owner may read it.
inline void write_key(const Key& key, const fs::path& path) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  require(file != nullptr, "fopen");
  PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
}

inline void write_certificate(const Certificate& certificate, const fs::path& path) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  require(file != nullptr, "fopen");
  PEM_write_X509(file, certificate.get());
  std::fclose(file);
}

inline void add_extension(X509* certificate, int nid, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  require(extension != nullptr, "X509V3_EXT_conf_nid");
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

inline void set_name(X509_NAME* name, const std::string& text) {
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0);
}

/// Valid for an hour, not signed yet.
inline Certificate unsigned_certificate(const Key& key, const std::string& name) {
  static long serial = 0;
  Certificate made(X509_new(), X509_free);
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), key.get());
  set_name(X509_get_subject_name(made.get()), name);
  return made;
}

/// Its certificate is NAME.pem; issue() makes OTHER.pem and OTHER.key.
class Authority {
 public:
  Authority(const Folder& folder, std::string name)
      : folder_(folder), name_(std::move(name)), key_(new_key()) {
    const Certificate own = unsigned_certificate(key_, name_);
    add_extension(own.get(), NID_basic_constraints, "critical,CA:TRUE");
    sign(own);
    write_certificate(own, path());
  }
  fs::path path() const { return folder_ / (name_ + ".pem"); }

  /// `hosts` as in a subjectAltName: "IP:127.0.0.1", "DNS:…".
  void issue(const std::string& name, const std::string& hosts) const {
    const Key key = new_key();
    const Certificate made = unsigned_certificate(key, name);
    add_extension(made.get(), NID_subject_alt_name, hosts);
    sign(made);
    write_certificate(made, folder_ / (name + ".pem"));
    write_key(key, folder_ / (name + ".key"));
  }

 private:
  void sign(const Certificate& certificate) const {
    set_name_of_issuer(certificate.get());
    require(X509_sign(certificate.get(), key_.get(), EVP_sha256()) != 0, "X509_sign");
  }
  void set_name_of_issuer(X509* certificate) const {
    X509_NAME* issuer = X509_NAME_new();
    set_name(issuer, name_);
    X509_set_issuer_name(certificate, issuer);
    X509_NAME_free(issuer);
  }

  const Folder& folder_;
  std::string name_;
  Key key_;
};

/// A folder with ca.pem and the certificate "node" of it, for 127.0.0.1.
class Pki {
 public:
  Pki() : ca(folder, "ca") { ca.issue("node", "IP:127.0.0.1"); }

  TlsOptions options(const std::string& name = "node") const {
    TlsOptions options;
    options.certificate = folder / (name + ".pem");
    options.key = folder / (name + ".key");
    options.authorities = ca.path();
    return options;
  }

  Folder folder;
  Authority ca;
};

inline void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

}  // namespace ml_worker::distribution::test
