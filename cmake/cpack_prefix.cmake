# Read by cpack when it runs: a Debian package goes to /usr, whatever the prefix of the build tree is.
set(CPACK_INSTALL_PREFIX /usr)
