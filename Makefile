# Everything that a newcomer types: build, demo, test. Packages are in tools/packages, and there alone.
TARGET  := x86_64-unknown-linux-gnu
RELEASE := target/$(TARGET)/release

.PHONY: build setup demo test differential crash lint release clean

build: ## bin/stx-upgrade and bin/stx-lab, both static
	cargo build --release --locked --workspace
	mkdir -p bin
	install -m 755 $(RELEASE)/stx-upgrade $(RELEASE)/stx-lab bin/

setup: ## Debian packages that are missing
	tools/setup

demo: setup build ## a simulated simplex system, upgraded while you watch
	tools/demo

test: setup ## all tests
	cargo test --locked --workspace

differential: ## records anew what ansible-playbook answers to the plays of tests/differential, and to what is wrong
	ANSIBLE_PLAYBOOK="$$(tools/oracle)" cargo test --locked --test differential --test inputs -- --ignored record

# A sample of moments for each kind of fault. `make crash CRASH=--full` kills at every record and cuts at every call, with more of the
# others; `bin/stx-lab crash --full` does so with the suite alone, in about half an hour.
CRASH ?= --sample 1
crash: setup build ## faults of all kinds: the suite on plain hosts, a full disk for each module that writes, the simplex upgrade
	bin/stx-lab crash $(CRASH)
	bin/stx-lab crash --sample 1000 --faults host-disk-full tests/lab/suite/files.yml
	bin/stx-lab crash $(CRASH) --topology simplex playbooks/upgrade.yml

release: build ## dist/: both programs, their digests, and the bill of materials
	tools/release

lint: ## what CI checks beside the tests
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	tools/deny

clean:
	rm -rf bin dist target
