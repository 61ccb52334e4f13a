# debian/: packages for Debian. `make deb` makes them of what is built in this folder, into packages/; a build from source,
# as Debian does it, is `dpkg-buildpackage -b` in the tree. docs/install.md explains the packages.
DEBIAN_FILES = debian/changelog debian/control debian/copyright debian/rules debian/source/format \
	debian/keelson-agent.install debian/keelson-control.install debian/keelson-ctl.install \
	debian/keelson-doc.docs debian/keelson-doc.examples \
	debian/keelson-agent.lintian-overrides
EXTRA_DIST += $(DEBIAN_FILES) debian/make debian/reproducible debian/repository
deb: all
	$(top_srcdir)/debian/make '$(abs_top_builddir)' '$(abs_top_builddir)/packages'
# The packages as a signed apt repository, in apt/ ($KEELSON_APT_KEY: the key that signs, of the user's own).
apt-repository: deb
	$(top_srcdir)/debian/repository '$(abs_top_builddir)/packages' '$(abs_top_builddir)/apt'
# Builds the tree again in another folder, and compares every bundle and package byte by byte.
reproducible: all
	$(top_srcdir)/debian/reproducible '$(abs_top_builddir)'
.PHONY: deb apt-repository reproducible
clean-local:
	rm -rf packages apt
