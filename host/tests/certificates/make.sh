#!/bin/sh
# Makes the certificates and keys of this folder, which other libraries than ours write and ours must read or reject with a
# reason. They are of no use outside of tests. Needs OpenSSL 3.
set -eu
cd "$(dirname "$0")"
days=36500

# self NAME KEY-OPTIONS...: a key in PKCS #8 and a certificate of its own for NAME.example.
self() {
    name=$1
    shift
    openssl genpkey -quiet "$@" -out "$name.key"
    openssl req -x509 -new -key "$name.key" -days $days -subj "/CN=$name.example" -out "$name.crt" \
        -addext "subjectAltName=DNS:$name.example" -addext "basicConstraints=critical,CA:FALSE"
}

self rsa2048 -algorithm RSA -pkeyopt rsa_keygen_bits:2048
self rsa1024 -algorithm RSA -pkeyopt rsa_keygen_bits:1024
self rsa-pss -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
self p521 -algorithm EC -pkeyopt ec_paramgen_curve:P-521
self p384 -algorithm EC -pkeyopt ec_paramgen_curve:P-384
self secp256k1 -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1
self ed448 -algorithm ED448
self p256 -algorithm EC -pkeyopt ec_paramgen_curve:P-256

# The same key in other containers.
openssl pkey -in rsa2048.key -traditional -out rsa2048.pkcs1.key
{ openssl ecparam -name prime256v1; openssl pkey -in p256.key -traditional; } > p256.sec1.key
openssl pkey -in p256.key -aes256 -passout pass:secret -out p256.encrypted.key
openssl pkey -in p256.key -traditional -aes256 -passout pass:secret -out p256.encrypted-old.key
openssl pkcs12 -export -inkey p256.key -in p256.crt -passout pass: -out p256.pfx
openssl x509 -in p256.crt -outform der -out p256.der
openssl x509 -in p256.crt -trustout -out p256.trusted.crt

# What `openssl req` and `openssl x509 -req` write without further options.
openssl req -x509 -new -key p256.key -days $days -subj "/CN=p256.example" -out authority.crt
openssl req -new -key p256.key -subj "/CN=p256.example" |
    openssl x509 -req -key p256.key -days $days -out version1.crt
# A signature of SHA-1, from an issuer that is not there.
openssl req -new -key p256.key -subj "/CN=p256.example" -addext "subjectAltName=DNS:p256.example" |
    openssl x509 -req -CA rsa2048.crt -CAkey rsa2048.key -sha1 -days $days -copy_extensions copy -out sha1.crt
